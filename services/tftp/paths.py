"""Names as clients spell them, and the one spelling they are looked up by."""

import re
from ipaddress import AddressValueError, IPv4Address

from libs.mac import MacError, parse_mac
from services.tftp.errors import RefusedError

_MAC_AT_END = re.compile(r"(?:[0-9a-f]{2}[-:]){5}[0-9a-f]{2}(?=(?:\.cfg)?$)", re.IGNORECASE)
_ADDRESS_AT_END = re.compile(r"(?:^pxelinux\.cfg/|(?:^|/)grub\.cfg-)([0-9A-F]{8})$", re.IGNORECASE)

# What loaders ask for on the way to what they need (PXELINUX's search, GRUB's module lists and configurations,
# shim's revocations, iPXE's script): a miss is no fault.
_EXPECTED_MISSES = re.compile(
    r"""pxelinux\.cfg/.* | .+/ldlinux\.(c32|e32|e64) | (.*/)?pci\.ids
      | (.*/)?[^/]*\.(lst|mod|mo|pf2) | (.*/)?grub\.cfg.* | grub/by-mac/.* | (.*/)?grubenv
      | (.*/)?revocations[^/]*\.efi | (.*/)?shim_certificate[^/]*\.efi | (.*/)?autoexec\.ipxe""",
    re.IGNORECASE | re.VERBOSE,
)


def normalise(asked: str) -> str:
    """The path below the root: `\\` is `/`, leading and repeated slashes and `.` are dropped.

    Raises RefusedError for a path that climbs.
    """
    parts = [part for part in asked.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise RefusedError
    return "/".join(parts)


def is_expected_miss(path: str) -> bool:
    """A loader asks for this file without counting on it."""
    return _EXPECTED_MISSES.fullmatch(path) is not None


def mac_in(path: str) -> str | None:
    """The hardware address that the path ends in, as in pxelinux.cfg/01-52-54-00-00-00-01."""
    found = _MAC_AT_END.search(path)
    try:
        return parse_mac(found[0]) if found else None
    except MacError:
        return None


def address_in(path: str) -> tuple[str, IPv4Address] | None:
    """ "pxelinux" or "grub", and the address that the path names in hex, as in pxelinux.cfg/0A4D000B.

    Only all eight digits name one machine; PXELINUX's shortened names would give a machine another one's install.
    """
    found = _ADDRESS_AT_END.search(path)
    if not found:
        return None
    try:
        return ("pxelinux" if path.lower().startswith("pxelinux") else "grub"), IPv4Address(int(found[1], 16))
    except AddressValueError:
        return None


def printable(text: str, longest: int = 255) -> str:
    """A text from the network for logs and events: bounded, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
