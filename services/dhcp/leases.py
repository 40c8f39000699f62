"""The lease table: who holds which address until when. Pure: time comes in as `now`, changed leases go out.

An address has at most one record and at most one outstanding offer. A record's life:

    (no record) --bind--> BOUND --expire--> EXPIRED --bind--> BOUND
                            |--release--> RELEASED --bind--> BOUND
                            '--decline--> DECLINED --expire--> FREE (the record is gone)

EXPIRED and RELEASED records are kept: a client that comes back gets its address again, until the address is needed
for another; then the one that is idle for longest goes first. Offers live in memory alone and their number is
bounded: a client whose offer was forgotten is answered from the free addresses when it asks for it.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from typing import NamedTuple

OFFER_SECONDS = 60.0
QUARANTINE_SECONDS = 3600.0
MAXIMUM_OFFERS = 16_384


class Hardware(NamedTuple):
    """A client's identity: hardware type and address (RFC 2131 `htype`, `chaddr`). Client identifiers are aliases."""

    htype: int
    address: bytes

    @property
    def mac(self) -> str | None:
        """The address as the fleet spells it; None where it is not an Ethernet address of six octets."""
        return self.address.hex(":") if self.htype == 1 and len(self.address) == 6 else None


Source = tuple[str, ...]  # where an offer's client is: a kind and what tells it from others of the kind


class State(StrEnum):
    """What a lease record says."""

    BOUND = "bound"
    EXPIRED = "expired"
    RELEASED = "released"
    DECLINED = "declined"
    FREE = "free"


IDLE = (State.EXPIRED, State.RELEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One record. `expires` is in seconds of Unix time; for a declined address it is the end of its quarantine."""

    address: IPv4Address
    hardware: Hardware
    subnet: str
    state: State
    expires: float
    client_id: bytes | None = None
    uuid: str | None = None


class Offer(NamedTuple):
    """An address that is kept for a client until it decides.

    `probed`: nobody else was found to use it. `sources` are what it is counted under, see services.dhcp.quota.
    """

    address: IPv4Address
    hardware: Hardware
    subnet: str
    expires: float
    probed: bool = False
    sources: tuple[Source, ...] = ()


class Leases:
    """All records and offers. Every method that changes records returns the changed ones, to be stored."""

    def __init__(self, *, maximum_offers: int = MAXIMUM_OFFERS) -> None:
        self._records: dict[IPv4Address, Lease] = {}
        self._addresses: dict[Hardware, set[IPv4Address]] = {}
        self._idle: dict[str, OrderedDict[IPv4Address, None]] = {}
        self._offers: OrderedDict[IPv4Address, Offer] = OrderedDict()
        self._offered: dict[Hardware, IPv4Address] = {}
        self._deadlines: list[tuple[float, IPv4Address]] = []
        self._scheduled: dict[IPv4Address, float] = {}
        self._counts: Counter[tuple[str, State]] = Counter()
        self._maximum_offers = maximum_offers
        self._vacated: list[tuple[str, IPv4Address]] = []
        self._offers_from: Counter[Source] = Counter()
        self._watched: dict[str, Container[IPv4Address]] = {}
        self._taken: dict[str, set[IPv4Address]] = {}
        self.is_held_over: Callable[[IPv4Address], bool] = lambda _: False  # ends not by its time alone
        self.is_ours: Callable[[IPv4Address], bool] = lambda _: True  # whether no other server gives it

    def load(self, leases: Iterable[Lease]) -> None:
        """Take over stored records, the longest idle first in the order of reclaim."""
        for lease in sorted(leases, key=lambda lease: lease.expires):
            self._put(lease)

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._records.values()))

    def __len__(self) -> int:
        return len(self._records)

    def at(self, address: IPv4Address) -> Lease | None:
        """The record of an address."""
        return self._records.get(address)

    def of(self, hardware: Hardware, network: IPv4Network) -> Lease | None:
        """The client's lease in a network: the bound one, else the one that it had last."""
        addresses = self._addresses.get(hardware)
        if not addresses:
            return None
        found = [self._records[address] for address in addresses if address in network]
        held = [lease for lease in found if lease.state is not State.DECLINED]
        return max(held, key=lambda lease: (lease.state is State.BOUND, lease.expires), default=None)

    def declined_by(self, hardware: Hardware) -> int:
        """How many addresses are in quarantine because of this client."""
        return sum(self._records[address].state is State.DECLINED for address in self._addresses.get(hardware, ()))

    def count(self, subnet: str, state: State) -> int:
        """How many records of a subnet are in a state."""
        return self._counts[subnet, state]

    def is_free_for(self, address: IPv4Address, hardware: Hardware, now: float) -> bool:
        """Whether no other client holds the address or an offer of it, and it is not in quarantine."""
        offer = self._offers.get(address)
        if offer and offer.hardware != hardware and offer.expires > now:
            return False
        lease = self._records.get(address)
        if lease is None or lease.state in IDLE:
            return True
        return lease.expires <= now or (lease.state is State.BOUND and lease.hardware == hardware)

    # --- offers ---------------------------------------------------------------------------------------------

    @property
    def offers(self) -> int:
        """How many offers are outstanding."""
        return len(self._offers)

    def offers_in(self, subnet: str) -> int:
        """How many offers are outstanding in a subnet."""
        return sum(offer.subnet == subnet for offer in self._offers.values())

    def offer_to(self, hardware: Hardware) -> Offer | None:
        """The offer that is kept for a client."""
        address = self._offered.get(hardware)
        return None if address is None else self._offers[address]

    def offer_at(self, address: IPv4Address) -> Offer | None:
        """The offer of an address."""
        return self._offers.get(address)

    def offers_from(self, source: Source) -> int:
        """How many offers are outstanding under a source."""
        return self._offers_from[source]

    def offer(
        self, address: IPv4Address, hardware: Hardware, subnet: str, now: float, sources: tuple[Source, ...] = ()
    ) -> None:
        """Keep an address for a client. The oldest offers make room where there are too many."""
        before = self.offer_to(hardware)
        probed = before is not None and before.address == address and before.probed
        self.withdraw(hardware)
        self._drop_offer(address)
        while len(self._offers) >= self._maximum_offers:
            self._drop_offer(next(iter(self._offers)))
        self._offers[address] = Offer(address, hardware, subnet, now + OFFER_SECONDS, probed, sources)
        self._offered[hardware] = address
        if sources:
            self._offers_from.update(sources)
        self._take(subnet, address)

    def mark_probed(self, address: IPv4Address) -> None:
        """Nobody else was found to use an offered address."""
        if offer := self._offers.get(address):
            self._offers[address] = offer._replace(probed=True)

    def withdraw(self, hardware: Hardware) -> None:
        """Forget the offer to a client: it chose another server, or got its lease."""
        address = self._offered.get(hardware)
        if address is not None:
            self._drop_offer(address)

    def _drop_offer(self, address: IPv4Address) -> None:
        offer = self._offers.pop(address, None)
        if offer:
            del self._offered[offer.hardware]
            self._forget_sources(offer)
            lease = self._records.get(address)
            if lease is None:
                self._vacated.append((offer.subnet, address))
            if lease is None or lease.state in IDLE:
                self._taken.get(offer.subnet, set()).discard(address)

    def _forget_sources(self, offer: Offer) -> None:
        if not offer.sources:
            return
        self._offers_from.subtract(offer.sources)
        for source in offer.sources:
            if not self._offers_from[source]:
                del self._offers_from[source]

    # --- how full it is -------------------------------------------------------------------------------------

    def watch(self, subnet: str, addresses: Container[IPv4Address]) -> None:
        """Count from now on how many of these addresses of a subnet are taken."""
        self._watched[subnet] = addresses
        self._taken[subnet] = set()
        for lease in self._records.values():
            if lease.subnet == subnet and lease.state not in IDLE:
                self._take(subnet, lease.address)
        for offer in self._offers.values():
            if offer.subnet == subnet:
                self._take(subnet, offer.address)

    def taken(self, subnet: str) -> int:
        """How many of the watched addresses are held, offered or in quarantine."""
        return len(self._taken.get(subnet, ()))

    def _take(self, subnet: str, address: IPv4Address) -> None:
        if address in self._watched.get(subnet, ()):
            self._taken[subnet].add(address)

    # --- records --------------------------------------------------------------------------------------------

    def bind(self, lease: Lease) -> list[Lease]:
        """Give an address to a client. What it held in the same subnet before is released."""
        self.withdraw(lease.hardware)
        self._drop_offer(lease.address)
        others = [
            replace(old, state=State.RELEASED)
            for old in map(self._records.__getitem__, self._addresses.get(lease.hardware, ()))
            if old.address != lease.address
            and old.subnet == lease.subnet
            and old.state is State.BOUND
            and self.is_ours(old.address)
        ]
        return self._put_all([*others, lease])

    def release(self, lease: Lease, now: float) -> list[Lease]:
        """The client gives its address back; it gets it again if it returns in time."""
        return self._put_all([replace(lease, state=State.RELEASED, expires=now)])

    def clear(self, address: IPv4Address, now: float) -> list[Lease]:
        """An operator takes an address back: a held one is released, a quarantine ends. Nothing where it is neither."""
        lease = self._records.get(address)
        if lease is None or lease.state in IDLE:
            return []
        state = State.RELEASED if lease.state is State.BOUND else State.FREE
        return self._put_all([replace(lease, state=state, expires=now)])

    def decline(self, lease: Lease, now: float) -> list[Lease]:
        """Another host uses the address: nobody gets it for a while, whatever happens to this process."""
        self._drop_offer(lease.address)
        return self._put_all([replace(lease, state=State.DECLINED, expires=now + QUARANTINE_SECONDS)])

    def expire(self, now: float) -> list[Lease]:
        """Let go what has run out: offers, bound leases (they become EXPIRED), quarantines (they become FREE)."""
        while self._offers and next(iter(self._offers.values())).expires <= now:
            self._drop_offer(next(iter(self._offers)))
        changed: list[Lease] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            due, address = heapq.heappop(self._deadlines)
            if self._scheduled.get(address) == due:
                del self._scheduled[address]
            changed += self._expire_one(address, now)
        return changed

    def _expire_one(self, address: IPv4Address, now: float) -> list[Lease]:
        lease = self._records.get(address)
        if lease is None or lease.state in IDLE:
            return []
        if lease.expires > now:
            self._schedule(lease)
            return []
        state = State.EXPIRED if lease.state is State.BOUND else State.FREE
        return [] if self.is_held_over(address) else self._put_all([replace(lease, state=state)])

    def adopt(self, leases: Iterable[Lease]) -> list[Lease]:
        """Take over records of another server; an offer of an address that somebody has is gone."""
        taken = list(leases)
        for lease in taken:
            if lease.state not in IDLE and self._offered.get(lease.hardware) != lease.address:
                self._drop_offer(lease.address)
        return self._put_all(taken)

    def take_vacated(self) -> list[tuple[str, IPv4Address]]:
        """The subnet and address of offers and records that have gone since the last call."""
        vacated, self._vacated = self._vacated, []
        return vacated

    def longest_idle(self, subnet: str, limit: int) -> list[IPv4Address]:
        """At most `limit` addresses that may be reclaimed, the one idle for longest first."""
        return list(islice(self._idle.get(subnet, ()), limit))

    def put_off(self, address: IPv4Address) -> None:
        """Have an idle address reclaimed after all others."""
        lease = self._records[address]
        self._idle[lease.subnet].move_to_end(address)

    def _put_all(self, leases: list[Lease]) -> list[Lease]:
        for lease in leases:
            self._put(lease)
        return leases

    def _put(self, lease: Lease) -> None:
        self._remove(lease.address)
        if lease.state is State.FREE:
            self._vacated.append((lease.subnet, lease.address))
            return
        self._records[lease.address] = lease
        self._addresses.setdefault(lease.hardware, set()).add(lease.address)
        self._counts[lease.subnet, lease.state] += 1
        if lease.state in IDLE:
            self._idle.setdefault(lease.subnet, OrderedDict())[lease.address] = None
        else:
            self._schedule(lease)
            self._take(lease.subnet, lease.address)

    def _schedule(self, lease: Lease) -> None:
        """Have a look at the lease when it runs out. A renewed one keeps its earlier deadline, and is then put off."""
        if self._scheduled.get(lease.address, lease.expires + 1) > lease.expires:
            heapq.heappush(self._deadlines, (lease.expires, lease.address))
            self._scheduled[lease.address] = lease.expires

    def _remove(self, address: IPv4Address) -> None:
        lease = self._records.pop(address, None)
        if lease is None:
            return
        owned = self._addresses[lease.hardware]
        owned.discard(address)
        if not owned:
            del self._addresses[lease.hardware]
        self._counts[lease.subnet, lease.state] -= 1
        if address not in self._offers:
            self._taken.get(lease.subnet, set()).discard(address)
        if lease.state in IDLE:
            del self._idle[lease.subnet][address]
