"""One transfer on the network: its socket, its client, and who is told when something happens."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from libs.wire.tftp import Error, ErrorCode, Opcode, Request
from services.tftp.session import Burst, Transfer
from services.tftp.sources import Found
from services.tftp.transmit import Address, transmit

_LARGEST_DATAGRAM = 2048  # octets: clients send acknowledgements and errors
_STRAY = Error(ErrorCode.UNKNOWN_TRANSFER_ID, "unknown transfer").encode()


@dataclass(frozen=True, slots=True)
class Job:
    """What a transfer is about: the request, the file, and from where it was asked."""

    request: Request
    path: str
    found: Found
    client: Address
    ip: str
    echo: bool  # the same client got the same file a moment ago: this may be a late copy of that request

    def same(self, request: Request) -> bool:
        """Whether a request for the same path is a copy of this one's."""
        return (request.mode, request.options) == (self.request.mode, self.request.options)


class Channel:
    """Joins a transfer to its socket. `changed(channel)` is called after everything that may move its deadline."""

    __slots__ = ("_changed", "_clock", "_sock", "job", "scheduled", "strays", "transfer")

    def __init__(
        self,
        job: Job,
        transfer: Transfer,
        sock: socket.socket,
        clock: Callable[[], float],
        changed: "Callable[[Channel], None]",
    ) -> None:
        self.job = job
        self.transfer = transfer
        self.scheduled = inf
        self.strays = 0
        self._sock = sock
        self._clock = clock
        self._changed = changed

    @property
    def deadline(self) -> float:
        """When `expire` wants to be called; infinity when the transfer is over."""
        return inf if self.transfer.ending else self.transfer.deadline

    def fileno(self) -> int:
        """The socket's descriptor, for the event loop."""
        return self._sock.fileno()

    def begin(self) -> None:
        """Send the first packet."""
        self._send(self.transfer.begin(self._clock()))

    def repeat(self) -> None:
        """The client sent its request again."""
        self._send(self.transfer.repeat(self._clock()))

    def readable(self) -> None:
        """A datagram is there."""
        try:
            raw, sender = self._sock.recvfrom(_LARGEST_DATAGRAM)
        except OSError:
            return
        if sender != self.job.client:
            self._turn_away(raw, sender)
            return
        self._send(self.transfer.receive(raw, self._clock()))

    def expire(self) -> None:
        """The deadline has passed."""
        self._send(self.transfer.expire(self._clock()))

    def close(self) -> None:
        """Give everything back."""
        self._sock.close()
        self.job.found.content.close()

    def say(self, message: str) -> None:
        """Tell the client that the transfer is over."""
        transmit(self._sock, [Error(ErrorCode.UNDEFINED, message).encode()], self.job.client)

    def _send(self, burst: Burst) -> None:
        if burst:
            transmit(self._sock, burst, self.job.client)
        self._changed(self)

    def _turn_away(self, raw: bytes, sender: Address) -> None:
        """A stray learns that it is one (RFC 1350 section 4); an error is never answered by an error."""
        self.strays += 1
        if raw[:2] != Opcode.ERROR.to_bytes(2):
            transmit(self._sock, [_STRAY], sender)
