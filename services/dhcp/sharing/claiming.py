"""What a REQUEST for an address of another server's part comes to.

With the bus: the lease is claimed there by compare-and-set, and granted when that has succeeded; the request waits so
long, and only it. Without the bus: a lease that runs is confirmed for the rest of its time, as its owner knows that
too, and nothing is extended.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from libs.wire.dhcp_options import MessageType
from services.dhcp.exchange import Datagram, Desk, Exchange, SilenceError
from services.dhcp.leases import Lease, State

WAIT_SECONDS = 1.0  # by which a claimed lease is longer than what the client is told, as it waits for the bus
MOST_ATTEMPTS = 3  # others may be ahead of a claim so often before its request is left to its client's patience


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that the bus has to agree to, and the request that waits for it since it came in."""

    lease: Lease
    datagram: Datagram
    since: float
    attempts: int


def agreed(exchange: Exchange, desk: Desk, lease: Lease) -> Lease:
    """The lease as it may be granted. Raises SilenceError while the bus has to be asked, or where it cannot be."""
    allocation = desk.allocation
    sharing = allocation.sharing
    if not sharing.must_claim(lease.address):
        return lease
    claimed = exchange.claimed
    if claimed and (claimed.address, claimed.hardware) == (lease.address, lease.hardware):
        # At most what is left of it now, as the client may count from a repetition of its request.
        exchange.seconds = min(exchange.lease_seconds, int(claimed.expires - sharing.margin - exchange.now))
        return claimed
    if sharing.connected and exchange.attempts < MOST_ATTEMPTS:
        exchange.claim = replace(lease, expires=lease.expires + WAIT_SECONDS)
        raise SilenceError("claiming")
    if not sharing.connected and allocation.is_kept(exchange.applicant, lease.address):
        return lease
    raise SilenceError("bus_away")


def confirm_rest(exchange: Exchange, desk: Desk, held: IPv4Address) -> bool:
    """Without the bus: whether the client was told to go on with a lease of another server's part, for its rest."""
    allocation = desk.allocation
    sharing, lease = allocation.sharing, allocation.leases.at(held)
    if sharing.connected or sharing.owns(held) or allocation.is_kept(exchange.applicant, held):
        return False
    if lease is None or lease.state is not State.BOUND or lease.hardware != exchange.hardware:
        return False
    seconds = sharing.confirmed_seconds(lease, exchange.now)
    if not seconds or not allocation.may_keep(exchange.applicant, lease, exchange.now):
        raise SilenceError("bus_away")
    exchange.answer, exchange.yiaddr, exchange.seconds = MessageType.ACK, held, seconds
    return True
