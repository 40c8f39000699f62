"""Requests that chose another server."""

from ipaddress import IPv4Address

from libs.events import RivalDetected
from libs.wire import WireError
from libs.wire.dhcp_options import MessageType, Option, read_address
from services.dhcp.exchange import Desk, Exchange, SilenceError
from services.dhcp.facts import about_exchange

_NAMES_A_SERVER = (MessageType.REQUEST, MessageType.DECLINE, MessageType.RELEASE)


def notice_rival(exchange: Exchange, desk: Desk) -> None:
    """A foreign server identifier: the offer is freed, nothing is answered (RFC 2131 section 4.3.2).

    Where it is a machine of the fleet that chose so, another DHCP server is at work: that is reported.
    """
    value = exchange.request.options.get(Option.SERVER_IDENTIFIER)
    if exchange.type not in _NAMES_A_SERVER or value is None:
        return
    chosen = _address(value)
    if chosen == exchange.server or chosen in desk.allocation.own:
        return
    desk.allocation.leases.withdraw(exchange.hardware)
    if chosen in desk.allocation.sharing.peers:
        raise SilenceError("peer_server")
    if exchange.machine and desk.rivals.due((exchange.hardware, chosen), exchange.now):
        exchange.events.append(
            RivalDetected(**about_exchange(exchange), subnet=exchange.subnet.name, server=str(chosen))
        )
    raise SilenceError("other_server")


def _address(value: bytes) -> IPv4Address:
    try:
        return read_address(value)
    except WireError as error:
        raise SilenceError(error.reason) from None
