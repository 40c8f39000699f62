"""One transfer on the network: its lane, its client, and who is told when something happens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from libs.wire.tftp import Error, ErrorCode, Request
from services.tftp.memory import address_of
from services.tftp.session import Burst, Transfer
from services.tftp.sources import Found
from services.tftp.transmit import Address

if TYPE_CHECKING:
    from services.tftp.lane import Lane


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
    """Joins a transfer to its lane. `changed(channel)` is called after everything that may move its deadline."""

    __slots__ = ("_changed", "_clock", "client", "job", "lane", "name", "name_at", "scheduled", "segments", "transfer")

    def __init__(
        self,
        job: Job,
        transfer: Transfer,
        lane: "Lane",
        name: bytes,
        client: Address,
        clock: Callable[[], float],
        changed: "Callable[[Channel], None]",
    ) -> None:
        self.job = job
        self.transfer = transfer
        self.scheduled = inf
        self.lane = lane
        self.name = name  # the client's raw address
        self.name_at = address_of(name)
        self.client = client
        self.segments = True
        self._clock = clock
        self._changed = changed
        lane.join(self)

    @property
    def deadline(self) -> float:
        """When `expire` wants to be called; infinity when the transfer is over."""
        return inf if self.transfer.ending else self.transfer.deadline

    def begin(self) -> None:
        """Send the first packet."""
        self._send(self.transfer.begin(self._clock()))

    def repeat(self) -> None:
        """The client sent its request again."""
        self._send(self.transfer.repeat(self._clock()))

    def acknowledge(self, number: int, now: float) -> None:
        """The client acknowledged a block."""
        burst = self.transfer.acknowledge(number, now)
        if burst:
            self.lane.send(self, burst)
        if self.transfer.ending or self.transfer.deadline < self.scheduled:
            self._changed(self)

    def hear(self, raw: bytes, now: float) -> None:
        """The client sent something else."""
        self._send(self.transfer.receive(raw, now))

    def expire(self) -> None:
        """The deadline has passed."""
        self._send(self.transfer.expire(self._clock()))

    def spoilt(self) -> None:
        """The file cannot be read any more as it was."""
        if not self.transfer.ending:
            self._send(self.transfer.changed())

    def close(self) -> None:
        """Give everything back."""
        self.lane.leave(self)
        self.job.found.content.close()

    def say(self, message: str) -> None:
        """Tell the client that the transfer is over."""
        self.lane.send(self, (Error(ErrorCode.UNDEFINED, message).encode(),))

    def _send(self, burst: Burst | Sequence[bytes]) -> None:
        if burst:
            self.lane.send(self, burst)
        self._changed(self)
