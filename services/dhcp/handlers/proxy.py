"""proxyDHCP: another server gives the addresses, this one the boot program (PXE 2.1 sections 2.2 and 2.4.2).

The firmware's DISCOVER is answered by an OFFER without an address, which names the boot program at once; firmware that
wants it confirmed asks again at port 4011 once the other server has given it an address.
"""

from libs.events import LeaseOffered
from libs.wire.dhcp_options import MessageType, Option
from libs.wire.pxe import BOOT_AT_ONCE, PXE_CLASS
from services.dhcp.exchange import Desk, Exchange, SilenceError
from services.dhcp.facts import lease_facts

_AT_BOOT_PORT = (MessageType.REQUEST, MessageType.INFORM)


def offer_boot_program(exchange: Exchange, _desk: Desk) -> None:
    """Only firmware that asks for a boot program is answered; all else is between the client and the other server."""
    if not exchange.client.boots:
        raise SilenceError("proxy_subnet")
    if exchange.datagram.at_boot_port and exchange.type in _AT_BOOT_PORT:
        exchange.answer = MessageType.ACK
    elif exchange.type is MessageType.DISCOVER and not exchange.datagram.at_boot_port:
        exchange.answer = MessageType.OFFER
    else:
        raise SilenceError("proxy_subnet")


def say_it_is_for_firmware(exchange: Exchange, _desk: Desk) -> None:
    """Without a boot program there is silence; with one, firmware takes the offer by its class (option 60)."""
    if exchange.boot is None:
        raise SilenceError("nothing_to_boot")
    exchange.options.setdefault(Option.VENDOR_CLASS, PXE_CLASS.encode())
    if exchange.client.kind != "http":
        exchange.options.setdefault(Option.VENDOR_SPECIFIC, BOOT_AT_ONCE)


def record_boot_offer(exchange: Exchange, _desk: Desk) -> None:
    """An offer, though of no address; at the boot port the client has one, which is told."""
    address = exchange.datagram.source if exchange.datagram.at_boot_port else None
    exchange.events.append(LeaseOffered(**lease_facts(exchange, address)))
