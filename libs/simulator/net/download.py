"""What a transfer brought, whatever carried it."""

import hashlib
from dataclasses import dataclass

from libs.simulator.errors import TransferError


@dataclass(frozen=True)
class Download:
    """A file that arrived whole. `content` is empty where nobody wanted to read it."""

    path: str
    size: int
    sha256: str
    content: bytes = b""
    total: int | None = None  # what the server said its size is, before
    retransmits: int = 0
    blksize: int | None = None
    windowsize: int | None = None


class Sink:
    """Counts and digests octets as they come, keeps up to `keep` of them, and breaks off at `limit`."""

    def __init__(self, path: str, keep: int, abort_at: float | None = None) -> None:
        self.path = path
        self.size = 0
        self.total: int | None = None
        self._keep = keep
        self._abort_at = abort_at
        self._digest = hashlib.sha256()
        self._kept = bytearray()

    def write(self, octets: bytes) -> None:
        """More octets. Raises TransferError where they are too many to be read, or where it is told to break off."""
        self.size += len(octets)
        self._digest.update(octets)
        if self._keep:
            self._kept += octets
            if self.size > self._keep:
                raise TransferError(f"{self.path}: more than {self._keep} octets, too large to be read", "broken")
        if self._abort_at is not None and self.total and self.size >= self.total * self._abort_at / 100:
            raise TransferError(f"{self.path}: broken off after {self.size} of {self.total} octets", "aborted")

    def done(self) -> Download:
        """The whole file."""
        return Download(self.path, self.size, self._digest.hexdigest(), bytes(self._kept), self.total)
