"""REQUEST: an address is granted or refused, by the state that the client is in (RFC 2131 section 4.3.2).

state        server id (54)  requested (50)  ciaddr   sent by
SELECTING    ours            yes             0        broadcast
INIT-REBOOT  no              yes             0        broadcast
RENEWING     no              no              its own  unicast
REBINDING    no              no              its own  broadcast
"""

from ipaddress import IPv4Address

from libs.wire.dhcp import NONE
from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.allocation import reservation
from services.dhcp.exchange import Desk, Exchange, SilenceError
from services.dhcp.leases import Lease, State
from services.dhcp.sharing.claiming import agreed, confirm_rest


def grant_request(exchange: Exchange, desk: Desk) -> None:
    """Tell the state by the fields that are set, and act by its rule."""
    if exchange.type is not MessageType.REQUEST:
        return
    request, wanted = exchange.request, exchange.requested
    if Option.SERVER_IDENTIFIER in request.options:
        _selecting(exchange, desk, wanted or request.ciaddr)
    elif request.ciaddr != NONE:
        _extending(exchange, desk, request.ciaddr)
    elif wanted:
        _init_reboot(exchange, desk, wanted)
    else:
        raise SilenceError("no_requested_address")


def _selecting(exchange: Exchange, desk: Desk, wanted: IPv4Address) -> None:
    """It took our offer. An offer that we forgot (a restart) is honoured while the address is free."""
    if wanted == NONE:
        raise SilenceError("no_requested_address")
    offer = desk.allocation.leases.offer_to(exchange.hardware)
    is_offered = offer is None or offer.address == wanted
    if is_offered and _is_available(exchange, desk, wanted):
        _grant(exchange, desk, wanted)
    else:
        _refuse(exchange, desk, wanted, f"{wanted} was not offered, or is not available any more")


def _init_reboot(exchange: Exchange, desk: Desk, wanted: IPv4Address) -> None:
    """It remembers an address from before: right, wrong, or none of our business where we have no record of it.

    A reservation that was made meanwhile takes effect here, as the machine starts.
    """
    who, lease = exchange.applicant, _record(exchange, desk)
    if wanted not in exchange.subnet.cidr:
        _refuse_stranger(exchange, lease, wanted)
    elif confirm_rest(exchange, desk, wanted):
        return
    elif lease is None and reservation(who) is None:
        raise SilenceError("no_record")
    elif wanted == desk.allocation.standing(who, exchange.now):
        _grant(exchange, desk, wanted)
    else:
        _refuse(exchange, desk, wanted, f"{wanted} is not this client's address")


def _extending(exchange: Exchange, desk: Desk, held: IPv4Address) -> None:
    """RENEWING or REBINDING: it uses the address now."""
    exchange.renewed = True
    who, lease = exchange.applicant, _record(exchange, desk, held)
    if held not in exchange.subnet.cidr:
        _refuse_stranger(exchange, lease, held)
    elif confirm_rest(exchange, desk, held):
        return
    elif lease is None:
        _extend_unrecorded(exchange, desk, held)
    elif lease.address == held and desk.allocation.may_keep(who, lease, exchange.now):
        _grant(exchange, desk, held)
    else:
        _refuse(exchange, desk, held, f"{held} is not this client's address")


def _extend_unrecorded(exchange: Exchange, desk: Desk, held: IPv4Address) -> None:
    """The record was lost, or another server gave the lease: only a client that asks us by unicast had it from us."""
    who = exchange.applicant
    is_ours = exchange.datagram.was_unicast or reservation(who) == held
    if not is_ours:
        raise SilenceError("no_record")
    if _is_available(exchange, desk, held):
        _grant(exchange, desk, held)
    else:
        _refuse(exchange, desk, held, f"{held} is not available any more")


def _is_available(exchange: Exchange, desk: Desk, address: IPv4Address) -> bool:
    who = exchange.applicant
    return desk.allocation.may_have(who, address, exchange.now) and desk.allocation.has_room_for(who)


def _record(exchange: Exchange, desk: Desk, held: IPv4Address | None = None) -> Lease | None:
    """The client's lease; of several, which servers that cannot see each other may have given it, the one it uses."""
    leases = desk.allocation.leases
    used = leases.at(held) if held else None
    if used and used.hardware == exchange.hardware and used.state is State.BOUND:
        return used
    return leases.of(exchange.hardware, exchange.subnet.cidr)


def _grant(exchange: Exchange, desk: Desk, address: IPv4Address) -> None:
    uuid = exchange.client.uuid
    lease = Lease(
        address=address,
        hardware=exchange.hardware,
        subnet=exchange.subnet.name,
        state=State.BOUND,
        expires=exchange.now + exchange.subnet.lease_seconds + desk.allocation.sharing.margin,
        client_id=exchange.request.options.get(Option.CLIENT_IDENTIFIER),
        uuid=str(uuid) if uuid else None,
    )
    if not desk.allocation.sharing.alone:
        lease = agreed(exchange, desk, lease)
    exchange.changes += desk.allocation.leases.bind(lease)
    exchange.answer, exchange.yiaddr = MessageType.ACK, address


def _refuse_stranger(exchange: Exchange, lease: Lease | None, address: IPv4Address) -> None:
    """An address of another network. We speak for the fleet's machines and our own clients, and for nobody else."""
    if exchange.machine is None and lease is None:
        raise SilenceError("no_record")
    _say_no(exchange, f"{address} is not an address of this network")


def _refuse(exchange: Exchange, desk: Desk, address: IPv4Address, reason: str) -> None:
    """Of an address that another server may give, that one knows best."""
    if not desk.allocation.sharing.owns(address):
        raise SilenceError("other_servers_part")
    _say_no(exchange, reason)


def _say_no(exchange: Exchange, reason: str) -> None:
    exchange.answer, exchange.reason = MessageType.NAK, reason
    exchange.options[Option.MESSAGE] = reason.encode()
