"""From octets to an Exchange: is it a request, which subnet is it from, which machine is it."""

from collections.abc import Mapping
from ipaddress import IPv4Address

from libs.desired import SubnetDocument
from libs.wire import WireError
from libs.wire.dhcp import BOOTREQUEST, ETHERNET, NONE, Message, decode
from libs.wire.dhcp_options import MessageType, Option, RelayOption, read_address, read_sub_options
from libs.wire.pxe import client_of
from services.dhcp.allocation import Applicant
from services.dhcp.exchange import Datagram, Desk, Exchange, SilenceError
from services.dhcp.fleet import Fleet
from services.dhcp.leases import Hardware

MAXIMUM_HOPS = 16
OWN_ADDRESSES = 1024  # remembered at most
REQUESTS = frozenset(
    {
        MessageType.DISCOVER,
        MessageType.REQUEST,
        MessageType.DECLINE,
        MessageType.RELEASE,
        MessageType.INFORM,
    }
)


def receive(datagram: Datagram, desk: Desk, now: float) -> Exchange:
    """Open an exchange. Raises SilenceError for whatever is to be dropped, with the reason."""
    try:
        request = decode(datagram.data)
        kind = admit(request)
        told = request.options.get(Option.RELAY_AGENT_INFORMATION)
        agent = read_sub_options(told) if told else {}
        subnet = locate(request, agent, datagram, desk.fleet)
        wanted = request.options.get(Option.REQUESTED_ADDRESS)
        requested = read_address(wanted) if wanted else None
        override = agent.get(RelayOption.SERVER_OVERRIDE)
        server = read_address(override) if override and request.giaddr != NONE else datagram.local
    except WireError as error:
        raise SilenceError(error.reason) from None
    if datagram.local == NONE:
        raise SilenceError("no_own_address")
    if datagram.at_boot_port and subnet.mode != "proxy":
        raise SilenceError("no_proxy_subnet")
    if len(desk.allocation.own) < OWN_ADDRESSES:
        desk.allocation.own.add(datagram.local)
    hardware = Hardware(request.htype, request.chaddr)
    mac, client = hardware.mac, client_of(request)
    machine = desk.fleet.machine_of(mac)
    return Exchange(
        datagram=datagram,
        request=request,
        type=kind,
        now=now,
        agent=agent,
        hardware=hardware,
        client=client,
        subnet=subnet,
        machine=machine,
        server=server,
        requested=None if requested == NONE else requested,
        mac=mac,
        relay=None if request.giaddr == NONE else str(request.giaddr),
        applicant=Applicant(hardware, machine, subnet, client.boots),
    )


def admit(request: Message) -> MessageType:
    """The type of a request that may be answered. Raises SilenceError, or WireError for a malformed option 53."""
    if request.op != BOOTREQUEST:
        raise SilenceError("not_a_request")
    if not request.chaddr or not any(request.chaddr):
        raise SilenceError("no_hardware_address")
    if request.htype == ETHERNET and (len(request.chaddr) != 6 or request.chaddr[0] & 1):
        raise SilenceError("bad_hardware_address")
    if request.hops > MAXIMUM_HOPS:
        raise SilenceError("too_many_hops")
    kind = request.type
    if kind is None:
        raise SilenceError("bootp")
    if kind not in REQUESTS:
        raise SilenceError("unsupported_type")
    return MessageType(kind)


def locate(request: Message, agent: Mapping[int, bytes], datagram: Datagram, fleet: Fleet) -> SubnetDocument:
    """The subnet that the client is in. Raises SilenceError where it is none of ours.

    Through a relay: link selection (RFC 3527), else subnet selection (RFC 3011), else giaddr. Without one: the
    subnets of the interface it came in by; a client that asks by unicast has an address, which says where it is.
    At the boot port it is the address that it sends from: some firmware leaves ciaddr empty there.
    """
    if datagram.at_boot_port:
        return _known(fleet.subnet_of(datagram.source))
    selection = request.options.get(Option.SUBNET_SELECTION)
    if request.giaddr != NONE:
        link = agent.get(RelayOption.LINK_SELECTION) or selection
        return _known(fleet.subnet_of(read_address(link) if link else request.giaddr))
    if selection:
        return _known(fleet.subnet_of(read_address(selection)))
    if datagram.was_unicast and request.ciaddr != NONE:
        return _known(fleet.subnet_of(request.ciaddr))
    return _on_link(request, datagram, fleet)


def _on_link(request: Message, datagram: Datagram, fleet: Fleet) -> SubnetDocument:
    """Of several subnets on one link: the one that the machine's reservation or its address is in, else our own."""
    candidates = fleet.on_link(datagram.interface)
    if not candidates:
        raise SilenceError("no_subnet")
    machine = fleet.machine_of(Hardware(request.htype, request.chaddr).mac)
    wanted = request.options.get(Option.REQUESTED_ADDRESS)
    hints: list[IPv4Address | None] = [
        machine.address if machine else None,
        request.ciaddr,
        read_address(wanted) if wanted else None,
        datagram.local,
    ]
    for hint in hints:
        for subnet in candidates:
            if hint and hint in subnet.cidr:
                return subnet
    return candidates[0]


def _known(subnet: SubnetDocument | None) -> SubnetDocument:
    if subnet is None:
        raise SilenceError("no_subnet")
    return subnet
