"""Is an address free on its link? An offer of an address that its client never had waits for the answer.

Pure: what is to be asked goes out as a Probe, what is heard comes in, and `due` says whose waiting is over. Only the
client concerned waits, and never longer than WAIT_SECONDS after its DISCOVER, however many addresses turn out to be
taken; the number of probes under way is bounded, and beyond it offers are made unprobed.
"""

import heapq
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from services.dhcp.exchange import Datagram
from services.dhcp.leases import Hardware

WAIT_SECONDS = 0.5  # from the DISCOVER to the offer, at most
PROBE_SECONDS = 0.3  # for the first address; hosts on a link answer within milliseconds
MOST_PROBES = 256  # under way at a time


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to put on the link: who has this address? `index` names the interface."""

    address: IPv4Address
    index: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A DISCOVER that waits for its probe, since when it came in until `until`."""

    datagram: Datagram
    hardware: Hardware
    address: IPv4Address
    subnet: str
    since: float
    until: float = 0.0


class Probing:
    """The probes under way, by address."""

    def __init__(self) -> None:
        self._waiting: dict[IPv4Address, Waiting] = {}
        self._deadlines: list[tuple[float, IPv4Address]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether one more may begin."""
        return len(self._waiting) < MOST_PROBES

    @property
    def deadline(self) -> float | None:
        """When the next waiting is over."""
        while self._deadlines and not self._is_current(*self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def begin(self, waiting: Waiting, now: float) -> Probe | None:
        """Have a DISCOVER wait. A repeated one takes the place of the first, whose probe goes on: None."""
        known = self._waiting.get(waiting.address)
        if known and known.hardware == waiting.hardware:
            self._waiting[waiting.address] = replace(waiting, since=known.since, until=known.until)
            return None
        until = min(now + PROBE_SECONDS, waiting.since + WAIT_SECONDS)
        self._waiting[waiting.address] = replace(waiting, until=until)
        heapq.heappush(self._deadlines, (until, waiting.address))
        return Probe(waiting.address, waiting.datagram.index)

    def due(self, now: float) -> list[Waiting]:
        """Those whose waiting is over: nobody has answered."""
        over = []
        while (deadline := self.deadline) is not None and deadline <= now:
            over.append(self._waiting.pop(heapq.heappop(self._deadlines)[1]))
        return over

    def at(self, address: IPv4Address) -> Waiting | None:
        """The DISCOVER that waits for the probe of an address."""
        return self._waiting.get(address)

    def end(self, address: IPv4Address) -> None:
        """The probe is answered."""
        self._waiting.pop(address, None)

    def _is_current(self, until: float, address: IPv4Address) -> bool:
        waiting = self._waiting.get(address)
        return waiting is not None and waiting.until == until
