"""Answer files: what an installer does with a kickstart or a preseed, as far as somebody outside can see it.

The scripts in it are not run (they would be run on this host, with its disks): the commands that call back are read
out of them instead, in their order. A callback is a command with an address in the same folder as the answer file.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from libs.simulator.errors import ConfigurationError

MAX_LINE = 64 * 1024  # characters of one script line
_SILENT = ("echo", "printf", ":", "test", "[")  # commands that fetch nothing, whatever their words look like
_FAILED = "failed"
_ADDRESS = re.compile(r"http://[!-~]+")
_BEFORE = ("pre", "pre-install")
_AFTER = ("post",)
_SECTIONS = (*_BEFORE, *_AFTER, "onerror", "traceback", "packages", "addon", "anaconda", "certificate")


@dataclass(frozen=True)
class Callback:
    """A call that a script makes: `name` is the last part of the address's path."""

    name: str
    url: str
    body: str = ""


@dataclass(frozen=True)
class Answers:
    """What is called before and after the installation and when it fails; where the packages come from."""

    before: tuple[Callback, ...] = ()
    after: tuple[Callback, ...] = ()
    on_error: tuple[Callback, ...] = ()
    tree: str | None = None
    reboots: bool = False


def kickstart(text: str, url: str) -> Answers:
    """Read a kickstart that came from `url`. Raises ConfigurationError for sections that are unknown or never end."""
    sections = list(_sections(text))
    commands = [line for name, body in sections if name == "" for line in body]
    calls = [(name, call) for name, body in sections if name for call in _callbacks(body, url)]
    words = [line.split() for line in commands]
    return Answers(
        before=tuple(call for name, call in calls if name in _BEFORE and call.name != _FAILED),
        after=tuple(call for name, call in calls if name in _AFTER and call.name != _FAILED),
        on_error=tuple(call for name, call in calls if name == "onerror" or call.name == _FAILED),
        tree=next((found[1] for line in commands if (found := re.match(r"url\s.*--url[= ]\"?([^\s\"]+)", line))), None),
        reboots=any(line[:1] == ["reboot"] for line in words),
    )


def preseed(text: str, url: str) -> Answers:
    """Read a preseed that came from `url`. Raises ConfigurationError for a line that debconf would not take."""
    values = dict(_preseeded(text))
    host, folder = values.get("mirror/http/hostname"), values.get("mirror/http/directory", "")
    early = list(_callbacks([values.get("preseed/early_command", "")], url))
    late = list(_callbacks([values.get("preseed/late_command", "")], url))
    return Answers(
        before=tuple(call for call in early if call.name != _FAILED),
        after=tuple(call for call in late if call.name != _FAILED),
        on_error=tuple(call for call in (*early, *late) if call.name == _FAILED),
        tree=f"http://{host}{folder.rstrip('/')}/" if host else None,
        reboots="finish-install/reboot_in_progress" in values,
    )


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands (under the name ""), and each section's lines."""
    commands: list[str] = []
    name, body = "", commands
    for number, line in enumerate(text.splitlines(), 1):
        word = line.split(maxsplit=1)[0] if line.startswith("%") else ""
        if word == "%end":
            if not name:
                raise ConfigurationError(f"kickstart: line {number}: %end without a section")
            yield name, body
            name, body = "", commands
        elif not name and word and word not in ("%include", "%ksappend"):
            name, body = word[1:], []
            if name not in _SECTIONS:
                raise ConfigurationError(f"kickstart: line {number}: unknown section {word[:40]}")
        elif name or not line.lstrip().startswith("#"):
            body.append(line)
    if name:
        raise ConfigurationError(f"kickstart: the section %{name} has no %end")
    yield "", commands


def _preseeded(text: str) -> Iterator[tuple[str, str]]:
    """Question and answer of each line; a backslash at the end joins lines (debconf-set-selections)."""
    for number, line in enumerate(re.sub(r"\\\n", " ", text).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = line.split(None, 3)
        if len(fields) < 3:
            raise ConfigurationError(f"preseed: line {number}: {line.strip()[:60]!r} is not OWNER QUESTION TYPE VALUE")
        yield fields[1], fields[3] if len(fields) > 3 else ""


def _callbacks(lines: list[str], url: str) -> Iterator[Callback]:
    folder = url.rpartition("/")[0] + "/"
    for line in lines:
        if folder not in line or line.lstrip().startswith("#"):
            continue
        for command in _commands(line[:MAX_LINE]):
            at = next((at for at, word in enumerate(command) if _calls(word, folder, url)), None)
            if at is not None and command[0] not in _SILENT:
                yield Callback(
                    name=urlsplit(command[at]).path.rpartition("/")[2],
                    url=command[at],
                    body=command[at + 1] if at + 1 < len(command) else "",
                )


def _calls(word: str, folder: str, url: str) -> bool:
    return word.startswith(folder) and word != url and _ADDRESS.fullmatch(word) is not None


def _commands(line: str) -> Iterator[list[str]]:
    """A shell line's simple commands as words. A line that no shell could read has none."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""  # shlex would see one in ${name##*/}
    command: list[str] = []
    try:
        for word in lexer:
            if word.startswith("#"):
                break
            if word and set(word) <= set("();<>|&"):
                yield command
                command = []
            else:
                command.append(word)
    except ValueError:
        return
    yield command
