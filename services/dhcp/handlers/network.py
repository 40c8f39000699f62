"""What a client is told of its network."""

from ipaddress import IPv4Address

from libs.desired import MachineDocument, SubnetDocument
from libs.wire.dhcp_options import MessageType, Option, write_addresses, write_u32
from services.dhcp.exchange import Desk, Exchange, Network


def describe_network(exchange: Exchange, desk: Desk) -> None:
    """Mask, router, name servers, names, and how long the lease lasts; nothing of it in a refusal."""
    if exchange.answer is MessageType.NAK:
        return
    subnet, local = exchange.subnet, exchange.datagram.local
    network = desk.networks.get(subnet.name)
    if network is None or network.subnet is not subnet or network.local != local:
        network = desk.networks[subnet.name] = Network(
            subnet, local, lease_times(subnet.lease_seconds), told_of(subnet, local)
        )
    if exchange.yiaddr is not None:
        exchange.options |= network.times if exchange.seconds is None else lease_times(exchange.seconds)
    exchange.options |= network.options
    if exchange.machine:
        exchange.options[Option.HOST_NAME] = host_name(exchange.machine, subnet).encode()


def lease_times(seconds: int) -> dict[int, bytes]:
    """How long, and when to ask again (RFC 2131 section 4.4.5)."""
    return {
        Option.LEASE_TIME: write_u32(seconds),
        Option.RENEWAL_TIME: write_u32(seconds // 2),
        Option.REBINDING_TIME: write_u32(seconds * 7 // 8),
    }


def told_of(subnet: SubnetDocument, local: IPv4Address) -> dict[int, bytes]:
    """Everything but the lease times and the client's name.

    A name server is always named: without one the Debian installer stops and asks. Where the subnet declares none
    it is the gateway, which often is one, else this server.
    """
    options: dict[int, bytes] = {Option.SUBNET_MASK: subnet.cidr.netmask.packed}
    if subnet.gateway:
        options[Option.ROUTER] = subnet.gateway.packed
    options[Option.DOMAIN_NAME_SERVER] = write_addresses(subnet.dns or [subnet.gateway or local])
    options[Option.BROADCAST_ADDRESS] = subnet.cidr.broadcast_address.packed
    if subnet.domain:
        options[Option.DOMAIN_NAME] = subnet.domain.encode()
    return options


def host_name(machine: MachineDocument, subnet: SubnetDocument) -> str:
    """The machine's name, without the domain that option 15 says already."""
    return machine.name.removesuffix(f".{subnet.domain}") if subnet.domain else machine.name
