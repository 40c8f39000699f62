"""One bounds-checked cursor reads all wire octets, so that no decoder ever computes an offset itself."""

from libs.wire import TruncatedError, UnterminatedError


class Cursor:
    """A reading position in octets. Every read either moves past what it returns or raises a WireError."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def position(self) -> int:
        """Octets read so far."""
        return self._at

    @property
    def remaining(self) -> int:
        """Octets not read yet."""
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """The next `count` octets. Raises TruncatedError where fewer are left."""
        start, stop = self._at, self._at + count
        if count < 0 or stop > self._end:
            raise TruncatedError(f"{count} octets wanted at {start}, {self._end - start} left")
        self._at = stop
        return self._data[start:stop]

    def skip(self, count: int) -> None:
        """Move past `count` octets. Raises TruncatedError where fewer are left."""
        self.take(count)

    def u8(self) -> int:
        """An octet as a number."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Two octets as a number, network byte order."""
        return int.from_bytes(self.take(2))

    def u32(self) -> int:
        """Four octets as a number, network byte order."""
        return int.from_bytes(self.take(4))

    def rest(self) -> bytes:
        """Everything that is left, perhaps nothing."""
        return self.take(self.remaining)

    def until(self, octet: int = 0) -> bytes:
        """The octets before the next `octet`, moving past it. Raises UnterminatedError where none is left."""
        stop = self._data.find(octet, self._at)
        if stop < 0:
            raise UnterminatedError(f"no octet {octet} ends the text that begins at {self._at}")
        text = self._data[self._at : stop]
        self._at = stop + 1
        return text
