"""What a transfer sends: octets by position. Where they come from is the business of the sources."""

from typing import Protocol


class ContentChangedError(Exception):
    """The file is no longer what it was when the transfer began."""


class Content(Protocol):
    """Octets of a fixed size that never change while they are read."""

    @property
    def size(self) -> int:
        """All octets."""

    def read(self, start: int, length: int) -> bytes:
        """The octets from `start`, fewer than `length` only at the end. Raises ContentChangedError."""

    def check(self) -> None:
        """Raises ContentChangedError where what was read so far may not belong together."""

    def close(self) -> None:
        """The transfer that was given this content has ended."""


class TextContent:
    """Octets in memory."""

    __slots__ = ("_octets", "size")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.size = len(octets)

    def read(self, start: int, length: int) -> bytes:
        """The octets from `start`."""
        return self._octets[start : start + length]

    def check(self) -> None:
        """Octets in memory never change."""

    def close(self) -> None:
        """Nothing is held."""


def netascii(octets: bytes) -> bytes:
    """A Unix text as netascii: line feed becomes CR LF, carriage return becomes CR NUL (RFC 764, RFC 1350)."""
    return octets.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
