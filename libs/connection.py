"""What an HTTP application may know of the connection that a request came on: whether what was sent has arrived.

A server that has given all octets to the kernel knows nothing of the client; TCP's acknowledgements do.
"""

import fcntl
import os
import socket
import struct
import sys
import termios
from asyncio import BaseTransport, Transport
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION = "kickfleet.connection"
SILENCE = 120  # seconds after which a peer that acknowledges nothing is given up
_INFO = struct.Struct("@B119xQ")  # struct tcp_info (linux/tcp.h): tcpi_state, tcpi_bytes_acked
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


@dataclass(frozen=True)
class Connection:
    """One client's connection."""

    transport: Transport

    def mark(self) -> Mark | None:
        """Mark the place behind all that was sent so far; None where the connection is gone already."""
        return None if self.transport.get_extra_info("socket").fileno() < 0 else Mark(self.transport)


def connection_of(scope: Mapping[str, Any]) -> Connection | None:
    """The connection of a request; None under another server, or on a system that does not tell (other than Linux)."""
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, Connection) and sys.platform == "linux" else None


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
        application, connection = self.app, Connection(transport)

        async def with_connection(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**(scope.get("extensions") or {}), EXTENSION: connection}
            await application(scope, receive, send)

        self.app = with_connection
