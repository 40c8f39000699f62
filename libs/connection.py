"""What an HTTP application may do with the connection that a request came on: send files, know whether they arrived.

The kernel takes a file's octets from its page cache to the socket (`sendfile`): none passes through Python. A server
that has given all octets to the kernel knows nothing of the client; TCP's acknowledgements do.
"""

import asyncio
import errno
import fcntl
import os
import socket
import struct
import sys
import termios
from asyncio import BaseTransport, Transport
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION = "kickfleet.connection"
SILENCE = 120  # seconds after which a peer that acknowledges nothing is given up
_INFO = struct.Struct("@B119xQ")  # struct tcp_info (linux/tcp.h): tcpi_state, tcpi_bytes_acked
SLICE = 8 * 1024 * 1024  # octets of a file that are given to the kernel at once, after a look whether it has them
_CLOSED = 7  # TCP_CLOSE (net/tcp_states.h): nothing can be acknowledged any more


class Mark:
    """A place in what is sent on a connection. Close it, as it keeps the connection's socket."""

    def __init__(self, transport: Transport) -> None:
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._place = self._acknowledged() + transport.get_write_buffer_size() + self._queued()
        while (now := self._acknowledged() + transport.get_write_buffer_size() + self._queued()) != self._place:
            self._place = now  # an acknowledgement came between two looks

    @property
    def reached(self) -> bool:
        """Whether the peer has acknowledged all that was sent before the mark."""
        return self._acknowledged() >= self._place

    @property
    def lost(self) -> bool:
        """Whether the connection has ended, so that what is not acknowledged never will be."""
        return self._info()[0] == _CLOSED

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _acknowledged(self) -> int:
        return self._info()[1]

    def _info(self) -> tuple[int, int]:
        state, acknowledged = _INFO.unpack(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
        return state, acknowledged

    def _queued(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))
        return int(count)


class _Octets(bytes):
    """Stands for a file's octets where HTTP's framing counts them: it has their number and nothing else."""

    _count: int

    @classmethod
    def counted(cls, count: int) -> "_Octets":
        """So many octets."""
        made = cls()
        made._count = count
        return made

    def __len__(self) -> int:
        return self._count


@dataclass(frozen=True)
class Connection:
    """One client's connection."""

    transport: Transport
    framing: h11.Connection | None = None

    @property
    def tells(self) -> bool:
        """Whether the system tells what the peer has acknowledged."""
        return sys.platform == "linux"

    def mark(self) -> Mark | None:
        """Mark the place behind all that was sent so far; None where the connection is gone, or nothing is told."""
        gone = self.transport.get_extra_info("socket").fileno() < 0
        return None if gone or not self.tells else Mark(self.transport)

    async def send_file(self, file: FileIO, start: int, end: int) -> int:
        """Send the octets `start` to `end` as a part of the running response's body; returns how many were sent.

        They are fewer where the file or the connection ended before. The response has a Content-Length.
        """
        if self.framing is None or self.transport.is_closing():
            return 0
        octets = _Octets.counted(end - start)
        if self.framing.send_with_data_passthrough(h11.Data(data=octets)) != [octets]:
            raise RuntimeError("a file is sent in a response without Content-Length")
        file.seek(start)
        try:
            while (at := file.tell()) < end:
                upto = min(at + SLICE, end)
                await _in_memory(file, at, upto)
                if not await asyncio.get_running_loop().sendfile(self.transport, file, at, upto - at):
                    break
        except (OSError, RuntimeError):  # the client is gone; RuntimeError: it was already before a slice
            pass
        return file.tell() - start


async def _in_memory(file: FileIO, start: int, end: int) -> None:
    """Have a slice in the page cache without holding up the event loop, as `sendfile` would while it reads a disk."""
    if hasattr(os, "preadv") and not _cached(file.fileno(), start, end):
        await asyncio.to_thread(_load, file.fileno(), start, end)


def _cached(descriptor: int, start: int, end: int) -> bool:
    try:
        for place in (start, end - 1):
            os.preadv(descriptor, [bytearray(1)], place, getattr(os, "RWF_NOWAIT", 0))
    except OSError as error:
        return error.errno != errno.EAGAIN  # a file system that cannot tell (EOPNOTSUPP) is not asked further
    return True


def _load(descriptor: int, start: int, end: int) -> None:
    """Have a slice read ahead, and return when its last octet is there."""
    os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_WILLNEED)
    os.pread(descriptor, 1, end - 1)


def connection_of(scope: Mapping[str, Any]) -> Connection | None:
    """The connection of a request; None under another server than ours."""
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, Connection) else None


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, which also tells the application on which connection a request came."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Remember the connection for its requests. Small answers leave at once; silent peers are given up."""
        transport = cast(Transport, transport)
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)
        application, connection = self.app, Connection(transport, self.conn)

        async def with_connection(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**(scope.get("extensions") or {}), EXTENSION: connection}
            await application(scope, receive, send)

        self.app = with_connection
