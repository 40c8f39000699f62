"""DISCOVER: an address is offered (RFC 2131 section 4.3.1)."""

from ipaddress import IPv4Address

from libs.events import PoolExhausted
from libs.wire.dhcp_options import MessageType
from services.dhcp.exchange import Desk, Exchange, SilenceError
from services.dhcp.facts import about_exchange
from services.dhcp.quota import is_crowded


def offer_address(exchange: Exchange, desk: Desk) -> None:
    """Choose an address and keep it for the client. Where there is none: silence, and the counts are reported.

    One that the client has not had before is probed first: the engine lets the DISCOVER come again after that.
    """
    if exchange.type is not MessageType.DISCOVER:
        return
    allocation, now = desk.allocation, exchange.now
    if not allocation.leases.offer_to(exchange.hardware) and is_crowded(allocation.leases, exchange.sources):
        raise SilenceError("too_many_offers")
    address = allocation.choose(exchange.applicant, exchange.requested, now)
    if address is None and not allocation.sharing.history:
        raise SilenceError("takes_no_part_yet")
    if address is None:
        if desk.exhausted.due(exchange.subnet.name, now):
            usage = allocation.usage(exchange.subnet)
            exchange.events.append(
                PoolExhausted(
                    **about_exchange(exchange),
                    subnet=exchange.subnet.name,
                    size=usage.size,
                    leased=usage.leased,
                    offered=usage.offered,
                    quarantined=usage.quarantined,
                )
            )
        raise SilenceError("pool_exhausted")
    allocation.leases.offer(address, exchange.hardware, exchange.subnet.name, now, exchange.sources)
    if exchange.may_probe and _is_new_to_it(exchange, desk, address):
        exchange.unprobed = address
        raise SilenceError("probing")
    exchange.answer, exchange.yiaddr = MessageType.OFFER, address


def _is_new_to_it(exchange: Exchange, desk: Desk, address: IPv4Address) -> bool:
    """Whether the client, which must be on a link of ours, begins to use the address (RFC 2131 section 2.2)."""
    leases = desk.allocation.leases
    offer, lease = leases.offer_to(exchange.hardware), leases.at(address)
    is_probed = offer is not None and offer.probed
    is_its_own = lease is not None and lease.hardware == exchange.hardware
    return exchange.relay is None and not is_probed and not is_its_own
