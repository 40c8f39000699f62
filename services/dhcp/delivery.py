"""How a reply reaches its client (RFC 2131 section 4.1): decided here and nowhere else."""

from ipaddress import IPv4Address

from libs.wire.dhcp import BROADCAST_FLAG, CLIENT_PORT, NONE, SERVER_PORT, Message
from libs.wire.dhcp_options import MessageType, RelayOption
from services.dhcp.exchange import Delivery, Exchange

EVERYONE = IPv4Address("255.255.255.255")


def deliver(exchange: Exchange, reply: Message) -> Delivery:
    """The way of this reply."""
    request, datagram = exchange.request, exchange.datagram
    if datagram.at_boot_port:
        return Delivery("boot", datagram.source, datagram.source_port, datagram.local)
    if exchange.type is MessageType.INFORM:
        return _unicast(exchange, request.ciaddr)
    if request.giaddr != NONE:
        # RFC 8357 section 5: a relay that says so is answered at the port that it sent from.
        own_port = RelayOption.SOURCE_PORT in exchange.agent
        port = datagram.source_port if own_port else SERVER_PORT
        return Delivery("relay", request.giaddr, port, datagram.local)
    if exchange.answer is MessageType.NAK:
        if datagram.was_unicast and not exchange.subnet.interface:
            # The client is behind a router: a broadcast on our own link would never reach it.
            return _unicast(exchange, request.ciaddr)
        return _broadcast(exchange)
    if request.ciaddr != NONE:
        return _unicast(exchange, request.ciaddr)
    if request.wants_broadcast or reply.yiaddr == NONE:
        return _broadcast(exchange)
    return Delivery("frame", reply.yiaddr, CLIENT_PORT, datagram.local, datagram.index, request.chaddr)


def flags(exchange: Exchange) -> int:
    """The client's flags; with the broadcast bit where a relay has no address of the client to pass the reply on to.

    That is a refusal (RFC 2131 section 4.3.2), and an offer of a boot program alone.
    """
    has_no_address = exchange.answer is MessageType.NAK or (
        exchange.answer is MessageType.OFFER and exchange.yiaddr is None
    )
    return exchange.request.flags | BROADCAST_FLAG if has_no_address and exchange.relay else exchange.request.flags


def _unicast(exchange: Exchange, address: IPv4Address) -> Delivery:
    return Delivery("unicast", address, CLIENT_PORT, exchange.datagram.local)


def _broadcast(exchange: Exchange) -> Delivery:
    return Delivery("broadcast", EVERYONE, CLIENT_PORT, exchange.datagram.local, exchange.datagram.index)
