"""The one spelling of the one key: a hardware address as six lower-case, colon-separated octets."""

import re

_SPELLINGS = re.compile(
    r"(?:[0-9a-f]{2}([:\- ]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}|[0-9a-f]{12}"
)


class MacError(ValueError):
    """The text is not a hardware address of six octets that one machine can own."""


def parse_mac(text: str) -> str:
    """Read any usual spelling (colons, dashes, Cisco dots, bare digits) and write lower-case colons.

    Raises MacError for anything else, for the zero address and for group addresses (RFC 7042 section 2.1).
    """
    lowered = text.strip().lower()
    if not _SPELLINGS.fullmatch(lowered):
        raise MacError(f"{text!r} is not a hardware address; write it like 52:54:00:12:34:56")
    return mac_of(bytes.fromhex(re.sub(r"[^0-9a-f]", "", lowered)))


def mac_of(octets: bytes) -> str:
    """Six octets as text. Raises MacError where no single machine can own them."""
    if len(octets) != 6:
        raise MacError(f"a hardware address has 6 octets, not {len(octets)}")
    if not any(octets):
        raise MacError("the hardware address 00:00:00:00:00:00 belongs to no machine")
    if octets[0] & 1:
        raise MacError(f"{octets.hex(':')} is a group address, not one machine's")
    return octets.hex(":")


def dashed(mac: str) -> str:
    """The spelling for file names and bus subjects: 52-54-00-12-34-56."""
    return mac.replace(":", "-")
