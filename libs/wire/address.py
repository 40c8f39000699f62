"""IPv4 addresses that are cheap where the standard library's are dear: as keys, as octets and as text.

`ipaddress` computes all three anew each time, in Python. A DHCP server looks the same few addresses up some thirty
times for one client. These compare and hash like any other IPv4Address.
"""

from functools import lru_cache
from ipaddress import IPv4Address

KEPT = 16_384  # addresses that are remembered


class Address(IPv4Address):
    """An address that remembers its hash, its octets and its text."""

    __slots__ = ("_hash", "_octets", "_text")

    def __init__(self, packed: bytes) -> None:
        super().__init__(packed)
        self._octets = packed
        self._hash = super().__hash__()
        self._text = ""

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __str__(self) -> str:
        if not self._text:
            self._text = super().__str__()
        return self._text

    @property
    def packed(self) -> bytes:
        """The four octets."""
        return self._octets


@lru_cache(maxsize=KEPT)
def address_of(packed: bytes) -> Address:
    """The address of four octets. The same object where it was asked for lately, so that comparing it costs nothing."""
    return Address(packed)
