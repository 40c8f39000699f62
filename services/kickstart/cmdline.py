"""The kernel command line: options in their order, duplicates kept, spelled so that every boot loader passes them on.

PXELINUX takes the rest of the line, iPXE splits at spaces and expands `${…}`, GRUB puts backslashes before quotes
and backslashes. What one of them would change is refused, with the remedy.
"""

import re
from collections.abc import Sequence

MAX_LENGTH = 2047  # Linux/x86 boot protocol: 2048 bytes with the NUL (COMMAND_LINE_SIZE)
_SEPARATORS = ("&&", "||", ";")  # iPXE ends a command at these words
_UNIT_ESCAPE = re.compile(r"\\x[0-9a-fA-F]{2}")  # the one use of backslashes that GRUB leaves alone


class CommandLineError(ValueError):
    """A kernel option cannot be passed on as it is written."""


def checked(option: str) -> str:
    """One option: `flag`, `name=value` or `name="value with spaces"`. Raises CommandLineError."""
    if not option or not option.isascii() or not option.isprintable():
        raise CommandLineError(f"kernel option {option!r}: only printable ASCII characters are passed on")
    if option.count('"') % 2:
        raise CommandLineError(f"kernel option {option!r}: a double quote is not closed")
    if " " in _outside_quotes(option) or "  " in option:
        raise CommandLineError(f'kernel option {option!r}: put a value with single spaces in double quotes, name="a b"')
    if "'" in option or "\\" in _UNIT_ESCAPE.sub("", option):
        raise CommandLineError(f"kernel option {option!r}: single quotes and backslashes are changed by boot loaders")
    if "${" in option or option in _SEPARATORS or set(_SEPARATORS) & set(option.split(" ")):
        raise CommandLineError(f"kernel option {option!r}: iPXE would take this for its own syntax")
    return option


def checked_line(options: Sequence[str], *, loaded: Sequence[str]) -> list[str]:
    """All options, in their order. `loaded` are the paths of kernel and initrd, which loaders add to the line."""
    line = [checked(option) for option in options]
    added = "BOOT_IMAGE= initrd= " + "  ".join(loaded)
    length = len(" ".join(line)) + len(added)
    if length > MAX_LENGTH:
        raise CommandLineError(f"the kernel command line has {length} characters; {MAX_LENGTH} are passed on")
    return line


def _outside_quotes(option: str) -> str:
    return "".join(option.split('"')[::2])
