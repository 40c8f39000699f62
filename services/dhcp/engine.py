"""The server without its sockets: datagrams and the time go in; replies, events and changed leases come out.

A batch is the unit of durability: whoever drives the engine stores `changes`, then records `events`, and only then
lets `replies` leave; offers need not wait. `probes` are put on the link at once; `sighted` is told who answers, and
`deadline` says when the engine wants to be called although nothing came in.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from libs.events import Event, LeaseDeclined, LeaseExpired, LeaseOffered, LeaseReleased, derived_id
from libs.wire import WireError
from libs.wire.arp import Sighting
from libs.wire.dhcp import ETHERNET
from libs.wire.dhcp_options import MessageType
from services.dhcp.arrival import receive
from services.dhcp.exchange import Datagram, Desk, Exchange, Reply, SilenceError
from services.dhcp.facts import about
from services.dhcp.handlers import CHAINS
from services.dhcp.leases import Hardware, Lease, State
from services.dhcp.probing import Probe, Probing, Waiting
from services.dhcp.reply import compose
from services.dhcp.sharing.claiming import Claim


@dataclass
class Batch:
    """What came of some datagrams. `faults` are errors of ours: each cost one datagram its answer."""

    replies: list[Reply] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    changes: list[Lease] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    faults: list[Exception] = field(default_factory=list)
    is_heard: bool = False  # the changes are another server's, which has told of them

    def parted(self) -> "tuple[Batch, Batch]":
        """The offers, which promise nothing that a crash could break, and all else, whose answers wait for the disk."""
        now, later = Batch(), replace(self, replies=[], events=[])
        for reply in self.replies:
            (now if reply.type is MessageType.OFFER else later).replies.append(reply)
        for event in self.events:
            (now if isinstance(event, LeaseOffered) else later).events.append(event)
        return now, later


class Engine:
    """Answers requests by the chain of handlers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._probing = Probing()
        self._claiming: dict[Hardware, Datagram] = {}  # requests that wait for the bus, by whom

    @property
    def deadline(self) -> float | None:
        """When `handle` is to be called at the latest; None: whenever something comes in."""
        return self._probing.deadline

    def handle(self, datagrams: Sequence[Datagram], now: float) -> Batch:
        """Let run out what has run out, then answer the datagrams in order. `now` is Unix time in seconds."""
        batch = Batch()
        self._expire(batch, now)
        for waiting in self._probing.due(now):
            if self._still_waits(waiting):
                self._desk.allocation.leases.mark_probed(waiting.address)
                self._attempt(waiting.datagram, batch, now, waiting.since)
        for datagram in datagrams:
            self._attempt(datagram, batch, now, since=now)
        return batch

    def sighted(self, sightings: Sequence[Sighting], now: float) -> Batch:
        """Hosts were seen to use addresses: where one is being probed, another address is looked for at once."""
        batch = Batch()
        for sighting in sightings:
            waiting = self._probing.at(sighting.address)
            if waiting and self._still_waits(waiting) and not self._is_same_machine(sighting.hardware, waiting):
                self._probing.end(sighting.address)
                self._quarantine(sighting, waiting, batch, now)
                self._attempt(waiting.datagram, batch, now, waiting.since)
        return batch

    def release(self, address: IPv4Address, now: float) -> Batch:
        """An operator takes an address back; `changes` is empty where nobody holds it."""
        batch = Batch(changes=self._desk.allocation.leases.clear(address, now))
        for lease in batch.changes:
            mac = lease.hardware.mac
            facts = about(mac, self._desk.fleet.machine_of(mac), address, now)
            batch.events.append(LeaseReleased(**facts, subnet=lease.subnet, by="operator"))
        return batch

    # --- other servers, see services.dhcp.sharing ---------------------------------------------------------------

    def settle(self, claim: Claim, agreed: Lease | None, now: float) -> Batch:
        """The bus has agreed to a claim, or others were ahead of it: the request comes again.

        Not that of a client which has said something else since: it goes on with another address by now, which a grant
        of this one would take from it.
        """
        batch = Batch()
        if not self.abandon(claim):
            return batch
        attempts = claim.attempts + (agreed is None)
        self._attempt(claim.datagram, batch, now, claim.since, agreed, attempts)
        return batch

    def abandon(self, claim: Claim) -> bool:
        """A claim's request waits no more; whether it was still its client's last word."""
        is_last_word = self._claiming.get(claim.lease.hardware) is claim.datagram
        if is_last_word:
            del self._claiming[claim.lease.hardware]
        return is_last_word

    def adopt(self, leases: Sequence[Lease]) -> Batch:
        """Records that another server made; it has told of them."""
        return Batch(changes=self._desk.allocation.leases.adopt(leases), is_heard=True)

    def end(self, lease: Lease, now: float) -> Batch:
        """The bus knows that a lease or quarantine has run out."""
        batch = Batch(changes=self._desk.allocation.leases.adopt([lease]))
        if lease.state is State.EXPIRED:
            batch.events.append(self._expired(lease, now))
        return batch

    def _attempt(
        self,
        datagram: Datagram,
        batch: Batch,
        now: float,
        since: float,
        claimed: Lease | None = None,
        attempts: int = 0,
    ) -> None:
        """`since`: when the datagram came in."""
        try:
            self._answer(datagram, batch, now, since, claimed, attempts)
        except SilenceError as silence:
            batch.unanswered[silence.reason] += 1
        except WireError as error:
            batch.unanswered[error.reason] += 1
        except Exception as error:
            # The outermost edge for a datagram: one that we fail on must not cost the others their answers.
            batch.unanswered["fault"] += 1
            batch.faults.append(error)

    def _answer(
        self, datagram: Datagram, batch: Batch, now: float, since: float, claimed: Lease | None, attempts: int
    ) -> None:
        exchange = receive(datagram, self._desk, now)
        exchange.claimed, exchange.attempts = claimed, attempts
        if self._claiming:
            self._claiming.pop(exchange.hardware, None)
        if since == now:
            batch.received[exchange.request.type_name] += 1
        exchange.may_probe = self._desk.can_probe and self._probing.has_room
        try:
            for handler in CHAINS[exchange.subnet.mode]:
                handler(exchange, self._desk)
            reply = compose(exchange)
        finally:
            batch.changes += exchange.changes
            batch.events += exchange.events
            if exchange.claim:
                self._claiming[exchange.hardware] = datagram
                batch.claims.append(Claim(exchange.claim, datagram, since, attempts))
            if exchange.unprobed:
                self._probe(exchange, exchange.unprobed, batch, since)
        if reply:
            batch.replies.append(reply)

    # --- probes ---------------------------------------------------------------------------------------------

    def _probe(self, exchange: Exchange, address: IPv4Address, batch: Batch, since: float) -> None:
        waiting = Waiting(exchange.datagram, exchange.hardware, address, exchange.subnet.name, since)
        if probe := self._probing.begin(waiting, exchange.now):
            batch.probes.append(probe)

    def _still_waits(self, waiting: Waiting) -> bool:
        """Whether the client has not decided otherwise meanwhile."""
        offer = self._desk.allocation.leases.offer_to(waiting.hardware)
        return offer is not None and offer.address == waiting.address

    def _quarantine(self, sighting: Sighting, waiting: Waiting, batch: Batch, now: float) -> None:
        hardware, subnet = Hardware(ETHERNET, sighting.hardware), waiting.subnet
        taken = Lease(address=sighting.address, hardware=hardware, subnet=subnet, state=State.BOUND, expires=now)
        batch.changes += self._desk.allocation.leases.decline(taken, now)
        mac = waiting.hardware.mac
        facts = about(mac, self._desk.fleet.machine_of(mac), sighting.address, now)
        batch.events.append(LeaseDeclined(**facts, subnet=subnet, found_by="probe", holder=hardware.mac))

    def _is_same_machine(self, hardware: bytes, waiting: Waiting) -> bool:
        """The client itself, which still uses its address, or another card of its machine."""
        seen = Hardware(ETHERNET, hardware)
        machine = self._desk.fleet.machine_of(seen.mac)
        return seen == waiting.hardware or (
            machine is not None and machine == self._desk.fleet.machine_of(waiting.hardware.mac)
        )

    # --- time -----------------------------------------------------------------------------------------------

    def _expire(self, batch: Batch, now: float) -> None:
        for lease in self._desk.allocation.leases.expire(now):
            batch.changes.append(lease)
            if lease.state is State.EXPIRED:
                batch.events.append(self._expired(lease, now))

    def _expired(self, lease: Lease, now: float) -> Event:
        mac = lease.hardware.mac
        facts = about(mac, self._desk.fleet.machine_of(mac), lease.address, now)
        # The same id if a crash makes it happen again.
        cause = (str(lease.address), lease.hardware.address.hex(), f"{lease.expires:.6f}")
        return LeaseExpired(**facts, subnet=lease.subnet, id=derived_id("lease.expired", *cause))
