"""GRUB's `test` and `[`: an expression of words (GRUB manual, "test").

Over the network a directory cannot be listed, so `-f`, `-e` and `-d` are false there whatever the server has; only
`-s` opens the file. Configurations that rely on `-f` fail on real machines, and so they do here.
"""

import operator
import re
from collections.abc import Callable
from typing import Protocol

from libs.simulator.errors import ConfigurationError

_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-lt": operator.lt,
    "-le": operator.le,
    "-gt": operator.gt,
    "-ge": operator.ge,
}
_QUESTIONS = ("-z", "-n", "-f", "-e", "-d", "-s")
MAX_WORDS = 64


class FileSystem(Protocol):
    """What a test may ask about files."""

    def listed(self, path: str) -> bool:
        """Is the file in a directory that can be listed?"""

    async def size(self, path: str) -> int:
        """Its octets, 0 where it cannot be opened."""


async def test(words: list[str], files: FileSystem) -> bool:
    """The value of an expression. Raises ConfigurationError for an expression that ends too early."""
    if len(words) > MAX_WORDS:
        raise ConfigurationError(f"test: an expression of more than {MAX_WORDS} words")
    expression = _Expression(words, files)
    value = await expression.either()
    if expression.left:
        raise ConfigurationError(f"test: {' '.join(words)[:80]!r} is no expression")
    return value


class _Expression:
    def __init__(self, words: list[str], files: FileSystem) -> None:
        self.left = list(words)
        self._files = files

    async def either(self) -> bool:
        """Terms with -o between them."""
        value = await self._both()
        while self.left[:1] == ["-o"]:
            self.left.pop(0)
            value = await self._both() or value
        return value

    async def _both(self) -> bool:
        value = await self._term()
        while self.left and self.left[0] not in ("-o", ")"):
            if self.left[0] == "-a":
                self.left.pop(0)
            value = await self._term() and value
        return value

    async def _term(self) -> bool:
        if len(self.left) >= 3 and (self.left[1] in _TEXTS or self.left[1] in _NUMBERS):
            first, operation, second = self._take(3)
            if operation in _TEXTS:
                return _TEXTS[operation](first, second)
            return _NUMBERS[operation](_number(first), _number(second))
        if len(self.left) >= 2 and self.left[0] in _QUESTIONS:
            return await self._ask(*self._take(2))
        return await self._word()

    async def _word(self) -> bool:
        if not self.left:
            return False
        (word,) = self._take(1)
        if word == "!":
            return not await self._term()
        if word == "(":
            value = await self.either()
            if self._take(1) != [")"]:
                raise ConfigurationError("test: a parenthesis is not closed")
            return value
        return word != ""

    def _take(self, count: int) -> list[str]:
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    async def _ask(self, question: str, operand: str) -> bool:
        match question:
            case "-z":
                return operand == ""
            case "-n":
                return operand != ""
            case "-s":
                return await self._files.size(operand) > 0
        return self._files.listed(operand)


def _number(text: str) -> int:
    """As C's strtol reads it: what cannot be read is 0."""
    found = re.match(r"[+-]?(?:0x[0-9a-f]{1,15}|[0-9]{1,18})", text.lower())
    return int(found[0], 16 if "x" in found[0] else 10) if found else 0
