"""Every answer that concerns a lease is an event."""

from libs.events import LeaseAcknowledged, LeaseOffered, LeaseRefused
from libs.wire.dhcp_options import MessageType
from services.dhcp.exchange import Desk, Exchange
from services.dhcp.facts import lease_facts


def record_answer(exchange: Exchange, _desk: Desk) -> None:
    """Offered, acknowledged or refused; an INFORM concerns no lease."""
    facts = lease_facts(exchange, exchange.yiaddr)
    if exchange.answer is MessageType.OFFER:
        exchange.events.append(LeaseOffered(**facts))
    elif exchange.answer is MessageType.NAK:
        requested = exchange.requested or exchange.request.ciaddr
        exchange.events.append(LeaseRefused(**facts, requested=str(requested), reason=exchange.reason))
    elif exchange.type is MessageType.REQUEST:
        seconds = exchange.lease_seconds
        exchange.events.append(LeaseAcknowledged(**facts, seconds=seconds, renewed=exchange.renewed))
