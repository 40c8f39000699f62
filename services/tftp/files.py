"""Files below folders that nothing escapes from, opened once and mapped once for all transfers that want them.

The kernel sends from the mapping. Python itself never touches it: what was cut off a file meanwhile would kill the
process (SIGBUS), where a system call is only refused (EFAULT). A file is looked at again before a transfer's last
block leaves: what was changed meanwhile never counts as delivered. (Before Linux 6.13 two changes within one clock
tick, at most 4 ms, have the same time: to change a file, write a new one and rename it.)
"""

import errno
import mmap
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from services.tftp.content import ContentChangedError
from services.tftp.errors import MissingError, RefusedError
from services.tftp.memory import address_of

_LOOK = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_HOPELESS = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_REFUSED = (errno.EACCES, errno.EPERM, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells a version of a file from another one."""

    device: int
    inode: int
    size: int
    modified: int  # nanoseconds
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_Stamp":
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class FileContent:
    """An open file as it was when it was opened. All transfers of the same version share it."""

    def __init__(self, library: "Library", descriptor: int, stamp: _Stamp, links: int) -> None:
        self.size = stamp.size
        self.users = 0
        self._library = library
        self._descriptor = descriptor
        self._stamp = stamp
        self._links = links
        self._map = _map(descriptor, self.size)
        self.address = address_of(self._map) if self._map else 0

    @property
    def stamp(self) -> _Stamp:
        """The version."""
        return self._stamp

    def read(self, start: int, length: int) -> bytes:
        """The octets from `start`. Raises ContentChangedError."""
        wanted = max(0, min(length, self.size - start))
        try:
            octets = os.pread(self._descriptor, wanted, start)
        except OSError:
            raise ContentChangedError from None
        if len(octets) != wanted:
            raise ContentChangedError
        return octets

    def check(self) -> None:
        """Raises ContentChangedError where the file was written to since it was opened.

        A file that was replaced by another of its name keeps its octets: only its number of links has changed.
        """
        status = os.fstat(self._descriptor)
        now = _Stamp.of(status)
        replaced = status.st_nlink < self._links and (now.size, now.modified) == (
            self._stamp.size,
            self._stamp.modified,
        )
        if now != self._stamp and not replaced:
            raise ContentChangedError

    def close(self) -> None:
        """One transfer less."""
        self.users -= 1
        if not self.users:
            self._library.forget(self)
            if self._map:
                self._map.close()
            os.close(self._descriptor)


def _map(descriptor: int, size: int) -> mmap.mmap | None:
    """The file in memory, the kernel reading ahead; None where it cannot be mapped: an empty one, or no memory left."""
    if not size:
        return None
    try:
        mapped = mmap.mmap(descriptor, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    except (OSError, ValueError):
        return None
    mapped.madvise(mmap.MADV_WILLNEED)
    return mapped


class Library:
    """Opens files. Every version of a file is open once, however many transfers read it."""

    def __init__(self) -> None:
        self._open: dict[_Stamp, FileContent] = {}

    def open_below(self, root: Path, path: str) -> FileContent:
        """The file at `path` below `root`. Raises MissingError, and RefusedError for what lies outside.

        Symbolic links may lead about inside the root. Where a path ended up is asked of the open file itself, so
        that nothing can change in between.
        """
        try:
            folder = os.open(root, _LOOK | os.O_DIRECTORY)
        except OSError:
            raise MissingError from None
        try:
            descriptor = _look(path, folder)
            try:
                if not _where(descriptor).startswith(_where(folder).rstrip("/") + "/"):
                    raise RefusedError
                return self._share(descriptor)
            finally:
                os.close(descriptor)
        finally:
            os.close(folder)

    def open(self, path: str) -> FileContent:
        """A file that the operator's packages put at a place known to us. Raises MissingError or RefusedError."""
        descriptor = _look(path)
        try:
            return self._share(descriptor)
        finally:
            os.close(descriptor)

    def forget(self, content: FileContent) -> None:
        """Nobody reads this version any more."""
        self._open.pop(content.stamp, None)

    def _share(self, descriptor: int) -> FileContent:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise MissingError
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError
        stamp = _Stamp.of(status)
        content = self._open.get(stamp) or self._add(descriptor, stamp, status.st_nlink)
        content.users += 1
        return content

    def _add(self, descriptor: int, stamp: _Stamp, links: int) -> FileContent:
        try:
            readable = os.open(f"/proc/self/fd/{descriptor}", _READ)
        except PermissionError:
            raise RefusedError from None
        content = self._open[stamp] = FileContent(self, readable, stamp, links)
        return content


def _look(path: str, folder: int | None = None) -> int:
    """A descriptor of what is at the path, without opening it.

    Raises MissingError or RefusedError, and OSError where the host is at fault (no descriptors left, a dead disk).
    """
    try:
        return os.open(path, _LOOK, dir_fd=folder)
    except OSError as error:
        if error.errno in _HOPELESS:
            raise MissingError from None
        if error.errno in _REFUSED:
            raise RefusedError from None
        raise


def _where(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())
