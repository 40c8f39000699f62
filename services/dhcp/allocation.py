"""Which address a client gets: its reservation, what it has, what it was offered, what it wants, what is free."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from libs.desired import MachineDocument, SubnetDocument
from services.dhcp.fleet import Fleet
from services.dhcp.leases import Hardware, Lease, Leases, State
from services.dhcp.pool import Pool
from services.dhcp.quota import Share, share_of
from services.dhcp.sharing.partition import Sharing

RECLAIM_SEARCH = 256  # idle leases looked at for one request


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a subnet's pool is, in addresses."""

    size: int
    leased: int
    offered: int
    quarantined: int


class Applicant(NamedTuple):
    """Who wants an address: the client, the machine of the fleet that it is (if any), and where.

    `is_starting`: boot firmware asks, so that nothing runs on the machine that could use an address of it.
    """

    hardware: Hardware
    machine: MachineDocument | None
    subnet: SubnetDocument
    is_starting: bool = False

    def has_card(self, hardware: Hardware) -> bool:
        """Whether a hardware address is one of the machine's."""
        return self.machine is not None and hardware.mac in self.machine.macs


class Allocation:
    """Joins the lease table with the fleet's reservations and the subnets' pools."""

    def __init__(self, fleet: Fleet, leases: Leases) -> None:
        self._fleet = fleet
        self.leases = leases
        self.sharing = Sharing()
        leases.is_ours = lambda address: self.sharing.owns(address)
        leases.is_held_over = lambda address: self.sharing.hold_over(address)
        self.own: set[IPv4Address] = set()  # this host's addresses, never given out whatever the pools say
        self._pools: dict[str, Pool] = {}
        self._shares: dict[str, Share] = {}

    def choose(self, who: Applicant, wanted: IPv4Address | None, now: float) -> IPv4Address | None:
        """The address to offer (RFC 2131 section 4.3.1), or None where the subnet has none left."""
        self._take_notice()
        if not self.has_room_for(who):
            return None
        if standing := self.standing(who, now):
            return standing
        offer = self.leases.offer_to(who.hardware)
        if offer and self.may_have(who, offer.address, now):
            return offer.address
        if wanted and self.leases.at(wanted) is None and self.may_have(who, wanted, now):
            return wanted
        return self._fresh(who, now) or self._reclaimed(who, now)

    def standing(self, who: Applicant, now: float) -> IPv4Address | None:
        """The address that the client has a claim to: its reservation, else that of its present or last lease."""
        lease = self.leases.of(who.hardware, who.subnet.cidr)
        claims = (reservation(who), lease.address if lease else None)
        return next((address for address in claims if address and self.may_have(who, address, now)), None)

    def may_have(self, who: Applicant, address: IPv4Address, now: float) -> bool:
        """Whether the address is one that the client could be given, and nobody else has it."""
        if address not in who.subnet.cidr or address in self.own:
            return False
        if not self.leases.is_free_for(address, who.hardware, now) and not self._was_its_own(who, address):
            return False
        owner = self._fleet.reserved_for(address)
        if owner is not None and (who.machine is None or who.machine.name != owner):
            return False
        if owner is None and address not in self._pool(who.subnet):
            return False
        return self.sharing.alone or self.sharing.may_give(
            address, who.hardware, self.leases.at(address), is_kept=self.is_kept(who, address)
        )

    def is_kept(self, who: Applicant, address: IPv4Address) -> bool:
        """Whether no other machine can have the address: it is reserved, outside of the pool, and nobody else's yet."""
        if reservation(who) != address or address in self._pool(who.subnet):
            return False
        lease = self.leases.at(address)
        return lease is None or lease.state is not State.BOUND or who.has_card(lease.hardware)

    def restart(self) -> None:
        """Look at every address of the pools again: other servers' part of them has changed."""
        self._shares.clear()
        for pool in self._pools.values():
            pool.restart()

    def _was_its_own(self, who: Applicant, address: IPv4Address) -> bool:
        """Whether another card of a machine that starts had the machine's reservation when it last ran."""
        lease, offer = self.leases.at(address), self.leases.offer_at(address)
        holders = [known.hardware for known in (lease, offer) if known]
        is_held = lease is None or lease.state is not State.DECLINED
        return who.is_starting and is_held and reservation(who) == address and all(map(who.has_card, holders))

    def has_room_for(self, who: Applicant) -> bool:
        """Whether an address may be spent on the client: a part of the pool is for known machines alone."""
        if who.machine or self.leases.offer_to(who.hardware):
            return True
        lease = self.leases.of(who.hardware, who.subnet.cidr)
        if lease and lease.state is State.BOUND:
            return True
        name, pool = who.subnet.name, self._pool(who.subnet)
        share = self._shares.get(name)
        if share is None or share.pool is not pool:
            share = self._shares[name] = share_of(pool, self._fleet, self.leases, self.sharing, name)
        return self.leases.taken(name) < share.most

    def may_keep(self, who: Applicant, lease: Lease, now: float) -> bool:
        """Whether a client may go on with the lease that it has.

        A pool that was shrunk, or a reservation made since, takes no address from a running machine; a reservation
        for another machine does.
        """
        owner = self._fleet.reserved_for(lease.address)
        is_others = owner is not None and (who.machine is None or who.machine.name != owner)
        held = lease.state is not State.DECLINED and lease.hardware == who.hardware
        return held and not is_others and self.leases.is_free_for(lease.address, who.hardware, now)

    def usage(self, subnet: SubnetDocument) -> Usage:
        """The counts behind "the pool is exhausted"."""
        leases = self.leases
        return Usage(
            size=len(self._pool(subnet)),
            leased=leases.count(subnet.name, State.BOUND),
            offered=leases.offers_in(subnet.name),
            quarantined=leases.count(subnet.name, State.DECLINED),
        )

    def _fresh(self, who: Applicant, now: float) -> IPv4Address | None:
        def is_fresh(address: IPv4Address) -> bool:
            return self.leases.at(address) is None and self.may_have(who, address, now)

        return self._pool(who.subnet).take(is_fresh)

    def _reclaimed(self, who: Applicant, now: float) -> IPv4Address | None:
        for address in self.leases.longest_idle(who.subnet.name, RECLAIM_SEARCH):
            if self.may_have(who, address, now):
                return address
            # Reserved for another, or offered: it goes behind the others, so that no search passes over it twice.
            self.leases.put_off(address)
        return None

    def _pool(self, subnet: SubnetDocument) -> Pool:
        pool = self._pools.get(subnet.name)
        if pool is None or not pool.serves(subnet):
            pool = self._pools[subnet.name] = Pool(subnet)
        return pool

    def _take_notice(self) -> None:
        """Let the pools know of addresses that may have become free."""
        for name, address in self.leases.take_vacated():
            if name in self._pools:
                self._pools[name].give_back(address)
        if self._fleet.reservations_changed:
            self._fleet.reservations_changed = False
            self._shares.clear()
            for pool in self._pools.values():
                pool.restart()


def reservation(who: Applicant) -> IPv4Address | None:
    """The machine's reserved address, where it belongs to this subnet."""
    address = who.machine.address if who.machine else None
    return address if address is not None and address in who.subnet.cidr else None
