"""INFORM: the client has an address and asks for the rest (RFC 2131 section 4.3.5)."""

from libs.wire.dhcp import NONE
from libs.wire.dhcp_options import MessageType
from services.dhcp.exchange import Desk, Exchange, SilenceError


def inform_client(exchange: Exchange, _desk: Desk) -> None:
    """Answered to ciaddr, without an address and without lease times."""
    if exchange.type is not MessageType.INFORM:
        return
    if exchange.request.ciaddr == NONE:
        raise SilenceError("no_client_address")
    if exchange.request.ciaddr not in exchange.subnet.cidr:
        raise SilenceError("no_subnet")
    exchange.answer = MessageType.ACK
