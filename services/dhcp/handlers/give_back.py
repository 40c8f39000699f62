"""DECLINE and RELEASE: messages that are never answered (RFC 2131 sections 4.3.3 and 4.3.4)."""

from libs.events import LeaseDeclined, LeaseReleased
from libs.wire.dhcp import NONE
from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.exchange import Desk, Exchange, SilenceError
from services.dhcp.facts import lease_facts
from services.dhcp.leases import Lease, State

MOST_DECLINES = 4  # addresses that one client may have in quarantine at a time


def decline_address(exchange: Exchange, desk: Desk) -> None:
    """The client found the address in use: quarantine. Bounded, so that no client can empty a pool this way."""
    if exchange.type is not MessageType.DECLINE:
        return
    leases = desk.allocation.leases
    lease = _held(exchange, desk)
    if lease is None:
        raise SilenceError("not_its_lease")
    if leases.declined_by(exchange.hardware) >= MOST_DECLINES:
        raise SilenceError("too_many_declines")
    exchange.changes += leases.decline(lease, exchange.now)
    exchange.events.append(LeaseDeclined(**lease_facts(exchange, lease.address)))
    raise SilenceError("declined")


def release_address(exchange: Exchange, desk: Desk) -> None:
    """The client gives back what it holds; nobody can give back another's.

    A RELEASE has to name its server (RFC 2131 table 5). systemd's does not, but goes to our own address, which names us
    as well.
    """
    if exchange.type is not MessageType.RELEASE:
        return
    if Option.SERVER_IDENTIFIER not in exchange.request.options and not exchange.datagram.was_unicast:
        raise SilenceError("no_server_identifier")
    leases = desk.allocation.leases
    lease = leases.at(exchange.request.ciaddr)
    if lease is None or lease.hardware != exchange.hardware or lease.state is not State.BOUND:
        raise SilenceError("not_its_lease")
    if not desk.allocation.sharing.owns(lease.address):
        # Its owner may have given it to the client anew by the time that it hears of this; so it simply runs out.
        raise SilenceError("not_its_part")
    exchange.changes += leases.release(lease, exchange.now)
    exchange.events.append(LeaseReleased(**lease_facts(exchange, lease.address)))
    raise SilenceError("released")


def _held(exchange: Exchange, desk: Desk) -> Lease | None:
    """The record of the declined address, where the client holds it. Option 50 names it; some say ciaddr instead."""
    address = exchange.requested or exchange.request.ciaddr
    lease = desk.allocation.leases.at(address) if address != NONE else None
    if lease and lease.hardware == exchange.hardware and lease.state is State.BOUND:
        return lease
    return None
