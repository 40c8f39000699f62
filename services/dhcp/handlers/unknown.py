"""Who is served at all."""

from libs.events import MachineUnknown
from services.dhcp.exchange import Desk, Exchange, SilenceError
from services.dhcp.facts import about_exchange


def admit_machine(exchange: Exchange, desk: Desk) -> None:
    """Machines of the fleet are; others are reported, and given an address only where their subnet says so."""
    if exchange.machine:
        return
    if desk.unknown.due((exchange.subnet.name, exchange.hardware), exchange.now):
        client, uuid = exchange.client, exchange.client.uuid
        exchange.events.append(
            MachineUnknown(
                **about_exchange(exchange),
                subnet=exchange.subnet.name,
                client=client.kind,
                arch=client.architecture.name if client.architecture else None,
                vendor_class=client.vendor_class or None,
                uuid=str(uuid) if uuid else None,
                relay=exchange.relay,
            )
        )
    if exchange.subnet.unknown == "ignore":
        raise SilenceError("unknown_machine")
