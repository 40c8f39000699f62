"""The filters of templates: each writes a value so that it means itself, and nothing else, where it stands.

Every filter takes the value with `str`, which refuses text of several lines; `lines` and `script` alone reveal it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from services.kickstart.values import Multiline, ValueRefused, is_plain

_KICKSTART_PLAIN = re.compile(r"[A-Za-z0-9@+=:,./_-]+")
_PACKAGE = re.compile(r"-?(?:@\^?)?[A-Za-z0-9][A-Za-z0-9._+:*?~-]*")
_DEVICE = re.compile(r"(?:/dev/)?([A-Za-z0-9][A-Za-z0-9_.:+/-]*)")


def shell(value: object) -> str:
    """One word for a POSIX shell. Always in quotes, so that `%end` at a line's beginning ends no section."""
    return "'" + str(value).replace("'", "'\\''") + "'"


def kickstart(value: object) -> str:
    """One word of a kickstart command, which pykickstart splits as a POSIX shell would."""
    text = str(value)
    if _KICKSTART_PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def package(value: object) -> str:
    """One line of %packages: a package, `@group`, `@^environment`, or one of them with `-` before it."""
    text = str(value)
    if not _PACKAGE.fullmatch(text):
        raise ValueRefused(None, f"{text!r} is not the name of a package, @group or @^environment")
    return text


def preseed(value: object) -> str:
    """The value of a preseed line, which is the rest of the line; a backslash at its end would join the next one."""
    text = str(value)
    if text.endswith("\\"):
        raise ValueRefused(None, f"{text!r} ends with a backslash, which would swallow the next line")
    return text


def device(value: object) -> str:
    """A disk as a path: `sda`, `/dev/sda` and `disk/by-id/…` are all understood."""
    return f"/dev/{disk(value)}"


def disk(value: object) -> str:
    """A disk's name below /dev, as kickstart commands want it."""
    text = str(value)
    match = _DEVICE.fullmatch(text)
    if not match or ".." in text:
        raise ValueRefused(None, f"{text!r} is not a disk; name one like sda, nvme0n1 or /dev/disk/by-id/…")
    return match[1]


def grub(value: object) -> str:
    """One word for GRUB's shell, where a kernel option's own double quotes go: GRUB puts them back around spaces."""
    return "'" + str(value).replace('"', "").replace("'", "'\\''") + "'"


def lines(value: object) -> list[str]:
    """Text of several lines as a list of single ones. Control characters within a line are refused."""
    found = _revealed(value).splitlines()
    for line in found:
        if not is_plain(line.replace("\t", " ")):
            raise ValueRefused(None, f"{line!r} holds a control character")
    return found


def script(value: object) -> str:
    """Text of several lines, written as it is: for script sections whose text the site's own people wrote."""
    return "\n".join(lines(value)) + "\n"


def oneline(value: object) -> str:
    """Shell code as a single preseed value: comments and empty lines go, each other line is continued by the next.

    The lines are joined by spaces, so each command in them has to end with its own `;`, `{`, `do`, `then` or `&&`.
    """
    kept = [line.rstrip() for line in str(value).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in kept:
        if line.endswith("\\"):
            raise ValueRefused(None, f"{line!r} ends with a backslash; such code cannot be joined to one line")
    return " \\\n  ".join(kept)


def _revealed(value: object) -> str:
    return value.reveal() if isinstance(value, Multiline) else str(value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "shell": shell,
    "kickstart": kickstart,
    "package": package,
    "preseed": preseed,
    "device": device,
    "disk": disk,
    "grub": grub,
    "lines": lines,
    "script": script,
    "oneline": oneline,
}
