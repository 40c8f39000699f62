"""GRUB's scripting language: text to a tree (GRUB manual, "Writing full configuration files directly").

As in GRUB, `&&`, `||` and redirection are no part of the language: they are a syntax error here too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from libs.simulator.errors import ConfigurationError

MAX_DEPTH = 32  # blocks within blocks


@dataclass(frozen=True)
class Part:
    """A piece of a word: a text, or a variable's name. What is quoted is never split at spaces."""

    text: str
    variable: bool = False
    quoted: bool = False


Word = tuple[Part, ...]


@dataclass(frozen=True)
class Simple:
    """A command with its arguments and, for menuentry and submenu, its block."""

    words: tuple[Word, ...]
    block: "tuple[Statement, ...] | None" = None


@dataclass(frozen=True)
class If:
    """Conditions with what is run for the first that holds; `otherwise` where none does."""

    branches: "tuple[tuple[tuple[Statement, ...], tuple[Statement, ...]], ...]"
    otherwise: "tuple[Statement, ...]"


@dataclass(frozen=True)
class For:
    """A loop over words."""

    variable: str
    words: tuple[Word, ...]
    body: "tuple[Statement, ...]"


@dataclass(frozen=True)
class While:
    """A loop while (`until`: as long as not) the condition holds."""

    condition: "tuple[Statement, ...]"
    body: "tuple[Statement, ...]"
    until: bool


@dataclass(frozen=True)
class Function:
    """A function's definition."""

    name: str
    body: "tuple[Statement, ...]"


Statement = Simple | If | For | While | Function
Block = tuple[Statement, ...]

_TOKEN = re.compile(
    r"""(?P<blank>(?:[ \t\r]|\\\n)+)|(?P<comment>\#[^\n]*)|(?P<mark>\n|;;|;|\|\||&&|[{}|&<>])"""
    r"""|(?P<word>(?:[^{}|&$;<>\s'"\\]|"(?:\\.|[^\\"])*"|'[^']*'|\\.|\$"(?:\\.|[^\\"])*"|\$(?:\{(?:\w+|[?#*@])\}|\w+|[?#*@]))+)""",
    re.DOTALL,
)
_PIECE = re.compile(
    r"""'(?P<single>[^']*)'|\$?"(?P<double>(?:\\.|[^\\"])*)"|\\(?P<escaped>.)"""
    r"""|\$(?:\{(?P<braced>\w+|[?\#*@])\}|(?P<name>\w+|[?\#*@]))|(?P<plain>[^'"\\$]+)""",
    re.DOTALL,
)
_IN_DOUBLE = re.compile(
    r"""\\(?P<escaped>[$"\\\n])|\$(?:\{(?P<braced>\w+|[?#*@])\}|(?P<name>\w+|[?#*@]))|(?P<plain>[^$\\]+|.)""",
    re.DOTALL,
)
_RESERVED = re.compile(r"case|do|done|elif|else|esac|fi|for|function|if|in|select|then|until|while|\[\[|\]\]").fullmatch


@dataclass(frozen=True)
class _Token:
    kind: str  # "mark" | "word" | "end"
    text: str
    line: int

    def reserved(self, *words: str) -> bool:
        """Is this one of the given reserved words, unquoted?"""
        return self.kind == "word" and self.text in words


def parse(text: str) -> Block:
    """Read a whole script. Raises ConfigurationError, naming the line, for what GRUB calls a syntax error."""
    return _Parser(list(_tokens(text))).script()


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ConfigurationError(f"GRUB: syntax error in line {line} at {text[at : at + 20]!r}")
        if found.lastgroup in ("mark", "word"):
            yield _Token(found.lastgroup, found[0], line)
        line += found[0].count("\n")
        at = found.end()
    yield _Token("end", "", line)


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def script(self) -> Block:
        body = self._statements()
        if self._now.kind != "end":
            raise self._wrong()
        return body

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._now
        if token.kind == "end":
            raise self._wrong()
        self._at += 1
        return token

    def _wrong(self) -> ConfigurationError:
        found = repr(self._now.text[:20]) if self._now.kind != "end" else "the end of the file"
        return ConfigurationError(f"GRUB: syntax error in line {self._now.line} at {found}")

    def _expect(self, *texts: str) -> _Token:
        if self._now.text not in texts or self._now.kind == "end":
            raise self._wrong()
        return self._take()

    def _mark(self, *marks: str) -> bool:
        return self._now.kind == "mark" and self._now.text in marks

    def _statements(self, *enders: str) -> Block:
        """Statements up to (not including) a reserved word of `enders`, a closing brace or the end."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConfigurationError(f"GRUB: blocks nested deeper than {MAX_DEPTH} in line {self._now.line}")
        body: list[Statement] = []
        while True:
            while self._mark("\n", ";"):
                self._take()
            if self._now.kind == "end" or self._mark("}") or self._now.reserved(*enders):
                break
            body.append(self._statement())
            if not (self._now.kind == "end" or self._mark("\n", ";", "}")):
                raise self._wrong()
        self._depth -= 1
        return tuple(body)

    def _statement(self) -> Statement:
        if self._now.kind != "word":
            raise self._wrong()
        match self._now.text:
            case "if":
                return self._if()
            case "for":
                return self._for()
            case "while" | "until":
                return self._while()
            case "function":
                return self._function()
            case text if _RESERVED(text):
                raise self._wrong()
        return self._simple()

    def _simple(self) -> Simple:
        words = []
        while self._now.kind == "word":
            words.append(_word(self._take().text))
        return Simple(tuple(words), self._block() if self._mark("{") else None)

    def _block(self) -> Block:
        self._expect("{")
        body = self._statements()
        self._expect("}")
        return body

    def _if(self) -> If:
        branches = []
        self._expect("if")
        while True:
            condition = self._statements("then")
            self._expect("then")
            branches.append((condition, self._statements("elif", "else", "fi")))
            ender = self._expect("elif", "else", "fi").text
            if ender != "elif":
                break
        otherwise: Block = ()
        if ender == "else":
            otherwise = self._statements("fi")
            self._expect("fi")
        return If(tuple(branches), otherwise)

    def _for(self) -> For:
        self._expect("for")
        variable = self._take().text
        self._expect("in")
        words = []
        while self._now.kind == "word":
            words.append(_word(self._take().text))
        return For(variable, tuple(words), self._do())

    def _while(self) -> While:
        until = self._expect("while", "until").text == "until"
        return While(self._statements("do"), self._do(), until)

    def _do(self) -> Block:
        while self._mark("\n", ";"):
            self._take()
        self._expect("do")
        body = self._statements("done")
        self._expect("done")
        return body

    def _function(self) -> Function:
        self._expect("function")
        name = self._take().text
        while self._mark("\n"):
            self._take()
        return Function(name, self._block())


def _word(text: str) -> Word:
    parts: list[Part] = []
    for found in _PIECE.finditer(text.replace("\\\n", "")):
        if found["double"] is not None:
            parts.append(Part("", quoted=True))
            parts += _double(found["double"])
        elif (name := found["braced"] or found["name"]) is not None:
            parts.append(Part(name, variable=True))
        elif found["plain"] is not None:
            parts.append(Part(found["plain"]))
        else:
            parts.append(Part(found["single"] if found["single"] is not None else found["escaped"], quoted=True))
    return tuple(parts)


def _double(text: str) -> Iterator[Part]:
    for found in _IN_DOUBLE.finditer(text):
        name = found["braced"] or found["name"]
        if name is not None:
            yield Part(name, variable=True, quoted=True)
        elif (escaped := found["escaped"]) is not None:
            yield Part("" if escaped == "\n" else escaped, quoted=True)
        else:
            yield Part(found["plain"], quoted=True)
