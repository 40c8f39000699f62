"""Which boot program a file name means: a machine knows a program by running it, a simulated one by its name."""

import re
from typing import Literal

from libs.simulator.boot import Platform
from libs.simulator.errors import BootError

Kind = Literal["pxelinux", "shim", "grub", "ipxe"]

_NAMES: tuple[tuple[re.Pattern[str], Kind, Platform], ...] = (
    (re.compile(r"l?pxelinux\.0"), "pxelinux", "pcbios"),
    (re.compile(r"shim[a-z0-9]*\.efi"), "shim", "efi"),
    (re.compile(r"grub[a-z0-9]*\.efi"), "grub", "efi"),
    (re.compile(r"(undionly|ipxe)[a-z0-9-]*\.k?pxe"), "ipxe", "pcbios"),
    (re.compile(r"(ipxe|snponly|snp)[a-z0-9-]*\.efi"), "ipxe", "efi"),
)


def kind_of(path: str) -> Kind | None:
    """The kind of program that a path or URL names; None for any other file."""
    name = path.rpartition("/")[2].lower()
    return next((kind for pattern, kind, _ in _NAMES if pattern.fullmatch(name)), None)


def startable(path: str, platform: Platform) -> Kind:
    """The same for a program that is to be started. Raises BootError where this firmware cannot."""
    name = path.rpartition("/")[2].lower()
    for pattern, kind, wanted in _NAMES:
        if pattern.fullmatch(name):
            if wanted != platform:
                raise BootError(f"{path}: not an executable of this firmware ({platform})")
            return kind
    raise BootError(f"{path}: a boot program that is not simulated")
