"""iPXE scripts: lines, labels, commands with `||`, `&&` and `;`, and `${settings}` (ipxe.org/scripting)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from libs.simulator.errors import ConfigurationError, StandstillError

_MAGIC = re.compile(rb"#!(?:ipxe|gpxe)\s")
_SETTING = re.compile(r"\$\{([^${}]*)\}")
_SEPARATORS = ("||", "&&", ";")
_FORMATS = ("hex", "hexhyp", "hexraw", "string", "uint8", "uint16", "uint32", "int8", "int16", "int32", "uristring")
MAX_TEXT = 8192


@dataclass(frozen=True)
class Line:
    """One line of a script: its label, if it has one, and its commands, each with what must have come before.

    A command's condition is "": always; "||": after a failure; "&&": after a success.
    """

    label: str | None
    commands: tuple[tuple[str, tuple[str, ...]], ...]


def parse(text: bytes) -> list[Line]:
    """Read a script. Raises ConfigurationError where iPXE does not take it for one."""
    if not _MAGIC.match(text):
        raise ConfigurationError("iPXE: Could not boot image: Exec format error (no #!ipxe in the first line)")
    joined = re.sub(r"\\\r?\n", "", text.decode("utf-8", "replace"))
    return [_line(line.removesuffix("\r")) for line in joined.split("\n")]


def expand(word: str, settings: Mapping[str, str]) -> str:
    """A word with its settings filled in, the innermost first; what is not set is empty."""
    for _ in range(16):
        found = _SETTING.search(word)
        if found is None or len(word) > MAX_TEXT:
            break
        word = word[: found.start()] + setting(found[1], settings) + word[found.end() :]
    return word[:MAX_TEXT]


def setting(name: str, settings: Mapping[str, str]) -> str:
    """A setting's text by its name, with scope (net0/mac) and format (mac:hexhyp) where the name has them."""
    name, _, form = name.partition(":")
    plain = name.strip().rpartition("/")[2]
    value = settings.get(name.strip(), settings.get(plain, ""))
    match form:
        case "hexhyp":
            return value.replace(":", "-")
        case "hexraw":
            return value.replace(":", "")
        case form if form == "" or form in _FORMATS:
            return value
    raise StandstillError(f"iPXE: the format {form[:20]!r} of ${{{name[:40]}}} is not simulated")


def _line(line: str) -> Line:
    words = line.split()
    label = None
    if words and words[0].startswith(":"):
        label = words.pop(0)[1:]
    commands: list[tuple[str, tuple[str, ...]]] = []
    condition = ""
    command: list[str] = []
    for word in words:
        if word.startswith("#"):
            break
        if word in _SEPARATORS:
            commands.append((condition, tuple(command)))
            condition, command = word.replace(";", ""), []
        else:
            command.append(word)
    return Line(label, (*commands, (condition, tuple(command))))
