"""What a client is told of its network."""

from libs.desired import MachineDocument, SubnetDocument
from libs.wire.dhcp_options import MessageType, Option, write_addresses, write_u32
from services.dhcp.exchange import Desk, Exchange


def describe_network(exchange: Exchange, _desk: Desk) -> None:
    """Mask, router, name servers, names, and how long the lease lasts; nothing of it in a refusal.

    A name server is always named: without one the Debian installer stops and asks. Where the subnet declares none
    it is the gateway, which often is one, else this server.
    """
    if exchange.answer is MessageType.NAK:
        return
    subnet, options = exchange.subnet, exchange.options
    if exchange.yiaddr is not None:
        seconds = subnet.lease_seconds
        options[Option.LEASE_TIME] = write_u32(seconds)
        options[Option.RENEWAL_TIME] = write_u32(seconds // 2)  # RFC 2131 section 4.4.5
        options[Option.REBINDING_TIME] = write_u32(seconds * 7 // 8)
    options[Option.SUBNET_MASK] = subnet.cidr.netmask.packed
    if subnet.gateway:
        options[Option.ROUTER] = subnet.gateway.packed
    options[Option.DOMAIN_NAME_SERVER] = write_addresses(subnet.dns or [subnet.gateway or exchange.datagram.local])
    options[Option.BROADCAST_ADDRESS] = subnet.cidr.broadcast_address.packed
    if subnet.domain:
        options[Option.DOMAIN_NAME] = subnet.domain.encode()
    if exchange.machine:
        options[Option.HOST_NAME] = host_name(exchange.machine, subnet).encode()


def host_name(machine: MachineDocument, subnet: SubnetDocument) -> str:
    """The machine's name, without the domain that option 15 says already."""
    return machine.name.removesuffix(f".{subnet.domain}") if subnet.domain else machine.name
