"""What a transfer sends: octets by position. Where they come from is the business of the sources."""

from collections.abc import Sequence
from typing import Protocol, overload

from libs.wire.tftp import data_header
from services.tftp.memory import address_of


class ContentChangedError(Exception):
    """The file is no longer what it was when the transfer began."""


class Content(Protocol):
    """Octets of a fixed size that never change while they are read."""

    @property
    def size(self) -> int:
        """All octets."""

    @property
    def address(self) -> int:
        """Where the octets lie in memory, for the kernel to read from; 0 where they have to be read."""

    def read(self, start: int, length: int) -> bytes:
        """The octets from `start`, fewer than `length` only at the end. Raises ContentChangedError."""

    def check(self) -> None:
        """Raises ContentChangedError where what was read so far may not belong together."""

    def close(self) -> None:
        """The transfer that was given this content has ended."""


class TextContent:
    """Octets in memory."""

    __slots__ = ("_octets", "address", "size")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.size = len(octets)
        self.address = address_of(octets)

    def read(self, start: int, length: int) -> bytes:
        """The octets from `start`."""
        return self._octets[start : start + length]

    def check(self) -> None:
        """Octets in memory never change."""

    def close(self) -> None:
        """Nothing is held."""


class Window(Sequence[bytes]):
    """Neighbouring blocks that leave together: read when they are looked at, or by the kernel from where they lie."""

    __slots__ = ("blksize", "blocks", "content", "first")

    def __init__(self, content: Content, blksize: int, first: int, blocks: int) -> None:
        self.content = content
        self.blksize = blksize
        self.first = first  # counted from 1 without end
        self.blocks = blocks

    def __len__(self) -> int:
        return self.blocks

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """A datagram. Raises ContentChangedError."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self.blocks))]
        if not 0 <= index < self.blocks:
            raise IndexError(index)
        block = self.first + index
        return data_header(block) + self.content.read((block - 1) * self.blksize, self.blksize)


def netascii(octets: bytes) -> bytes:
    """A Unix text as netascii: line feed becomes CR LF, carriage return becomes CR NUL (RFC 764, RFC 1350)."""
    return octets.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
