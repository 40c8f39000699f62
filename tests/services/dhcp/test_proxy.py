"""proxyDHCP: the boot program beside another server's addresses; one test a rule, its section in its docstring."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from libs.events import LeaseOffered, MachineUnknown
from libs.wire.dhcp import BROADCAST_FLAG, NONE, Message, decode, encode
from libs.wire.dhcp_options import MessageType, Option, write_machine_identifier
from services.dhcp.exchange import Delivery
from services.dhcp.server import BOOT_PORT_ABOVE
from services.dhcp.service import dhcp
from tests.services.dhcp.lab import (
    EVERYONE,
    MAC,
    RELAY,
    SERVER,
    STRANGER,
    Answer,
    Lab,
    address,
    far_subnet,
    lab,
    machine,
    message,
    named,
    subnet,
)
from tests.services.dhcp.link import CLIENT_INTERFACE, CLIENT_MAC, NEIGHBOUR, Link
from tests.services.dhcp.relay import Relay
from tests.services.dhcp.test_real_clients import udhcpc
from tests.services.dhcp.test_service import NODE01, declare, held, loopback
from tests.support import needs
from tests.support.running import bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

IDENTIFIER = write_machine_identifier(UUID("00112233-4455-6677-8899-aabbccddeeff"))
UEFI: dict[str, Any] = {"VENDOR_CLASS": b"PXEClient:Arch:00007:UNDI:003016", "CLIENT_ARCHITECTURE": b"\x00\x07"}
HELD = "10.77.0.180"  # what the other server gave


def house(**changes: Any) -> Lab:
    return lab(subnet(mode="proxy"), far_subnet(mode="proxy"), machine(**{"netboot": "install"} | changes))


def ask_boot_port(
    place: Lab, kind: MessageType = MessageType.REQUEST, *, source: str = HELD, **options: bytes
) -> Answer:
    request = message(kind, options=named(UEFI | options), ciaddr=IPv4Address(source))
    return place.put(request, source=IPv4Address(source), source_port=4011, destination=SERVER, at_boot_port=True)


# --- the offer --------------------------------------------------------------------------------------------------


def test_the_offer_names_the_boot_program_and_no_address() -> None:
    """PXE 2.1 section 2.2.2: yiaddr 0; our own server identifier; class PXEClient; no lease."""
    place = house()
    answer = place.discover(**UEFI, CLIENT_MACHINE_IDENTIFIER=IDENTIFIER)
    offer = answer.given
    assert (offer.type, offer.yiaddr, offer.siaddr, offer.file) == (MessageType.OFFER, NONE, SERVER, b"shimx64.efi")
    assert offer.options == {
        Option.MESSAGE_TYPE: b"\x02",
        Option.SERVER_IDENTIFIER: SERVER.packed,
        Option.VENDOR_CLASS: b"PXEClient",
        Option.VENDOR_SPECIFIC: bytes.fromhex("060108ff"),
        Option.BOOT_FILE: b"shimx64.efi\0",
        Option.CLIENT_MACHINE_IDENTIFIER: IDENTIFIER,
    }
    assert not answer.batch.changes
    assert not place.leases.offers


def test_the_offer_is_broadcast_as_there_is_no_address_to_send_it_to() -> None:
    place = house()
    way = place.put(message(MessageType.DISCOVER, options=named(UEFI))).sent.delivery
    assert (way.way, way.address, way.port, way.index) == ("broadcast", EVERYONE, 68, 7)


def test_through_a_relay_the_offer_has_the_broadcast_bit() -> None:
    """RFC 2131 section 4.1: a relay would send it to yiaddr otherwise, and there is none."""
    answer = house().relayed(message(MessageType.DISCOVER, options=named(UEFI)))
    assert (answer.given.flags, answer.given.giaddr) == (BROADCAST_FLAG, RELAY)
    assert (answer.sent.delivery.way, answer.sent.delivery.address) == ("relay", RELAY)


def test_ipxe_gets_its_script_as_a_proxy_offer() -> None:
    """iPXE takes an offer without an address only with the class PXEClient."""
    offer = house().discover(**UEFI, USER_CLASS=b"iPXE").given
    assert offer.file == b"http://10.77.0.2:8081/boot/ipxe/52-54-00-00-00-01"
    assert offer.options[Option.VENDOR_CLASS] == b"PXEClient"


def test_http_boot_gets_its_url_and_its_class() -> None:
    """UEFI 2.10 section 24.7.3.1."""
    offer = house().discover(VENDOR_CLASS=b"HTTPClient:Arch:00016", CLIENT_ARCHITECTURE=b"\x00\x10").given
    assert offer.options[Option.VENDOR_CLASS] == b"HTTPClient"
    assert offer.options[Option.BOOT_FILE].startswith(b"http://10.77.0.2:8081/boot/")
    assert Option.VENDOR_SPECIFIC not in offer.options


def test_the_offer_is_an_event_without_an_address() -> None:
    event = house().discover(**UEFI).event(LeaseOffered)
    assert isinstance(event, LeaseOffered)
    assert (event.machine, event.ip, event.client, event.boot_file) == ("node01", None, "pxe", "shimx64.efi")


# --- silence ----------------------------------------------------------------------------------------------------


def test_installers_and_systems_are_the_other_servers() -> None:
    place = house()
    assert place.discover(VENDOR_CLASS=b"udhcp 1.35.0").silent == "proxy_subnet"
    assert place.discover(STRANGER).batch.events == []


def test_a_machine_that_may_not_netboot_gets_nothing() -> None:
    assert house(netboot="deny").discover(**UEFI).silent == "nothing_to_boot"


def test_unknown_firmware_is_reported_and_gets_nothing() -> None:
    answer = house().discover(STRANGER, **UEFI)
    assert (answer.silent, bool(answer.event(MachineUnknown))) == ("unknown_machine", True)
    place = lab(subnet(mode="proxy", unknown="lease"))
    assert place.discover(STRANGER, **UEFI).silent == "nothing_to_boot"


@pytest.mark.parametrize("server", [IPv4Address("10.77.0.66"), SERVER])
def test_requests_for_addresses_are_the_other_servers_who_is_no_rival(server: IPv4Address) -> None:
    answer = house().select(HELD, server=server, **UEFI)
    assert (answer.silent, answer.batch.events, answer.batch.changes) == ("proxy_subnet", [], [])


def test_declines_and_releases_are_the_other_servers() -> None:
    place = house()
    assert place.decline(HELD).silent == "proxy_subnet"
    assert place.release(HELD).silent == "proxy_subnet"


# --- port 4011 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MessageType.REQUEST, MessageType.INFORM])
def test_at_the_boot_port_the_boot_program_is_acknowledged(kind: MessageType) -> None:
    """PXE 2.1 section 2.2.3: to the port that it came from, with the boot program, and without an address or times."""
    place = house()
    answer = ask_boot_port(place, kind, CLIENT_MACHINE_IDENTIFIER=IDENTIFIER)
    ack = answer.given
    assert (ack.type, ack.yiaddr, ack.siaddr, ack.file) == (MessageType.ACK, NONE, SERVER, b"shimx64.efi")
    assert set(ack.options) == {53, 54, 60, 43, 67, 97}
    assert ack.options[Option.VENDOR_SPECIFIC].hex() == "060108ff"
    assert answer.sent.delivery == Delivery("boot", IPv4Address(HELD), 4011, SERVER)
    assert not answer.batch.changes
    event = answer.event(LeaseOffered)
    assert event
    assert event.ip == HELD


def test_the_request_may_be_addressed_to_whichever_server_gave_the_address() -> None:
    """Firmware leaves the other server's identifier in it."""
    assert ask_boot_port(house(), SERVER_IDENTIFIER=address(NEIGHBOUR)).given.type == MessageType.ACK


def test_the_boot_port_knows_the_subnet_by_the_senders_address() -> None:
    request = message(MessageType.REQUEST, options=named(UEFI))
    arrival = {"source": IPv4Address(HELD), "source_port": 68, "destination": SERVER, "at_boot_port": True}
    assert house().put(request, **arrival).given.type == MessageType.ACK
    assert house().put(request, **arrival | {"source": IPv4Address("10.99.0.1")}).silent == "no_subnet"
    assert house().put(request, **arrival | {"source": NONE}).silent == "no_subnet"


def test_the_boot_port_serves_proxy_subnets_alone() -> None:
    assert ask_boot_port(lab()).silent == "no_proxy_subnet"


def test_a_discover_at_the_boot_port_draws_silence() -> None:
    assert ask_boot_port(house(), MessageType.DISCOVER).silent == "proxy_subnet"


# --- real sockets -----------------------------------------------------------------------------------------------


class Firmware:
    """Asks at the boot port, from an address of its own."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port + BOOT_PORT_ABOVE)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(("127.77.0.9", 0))

    def __enter__(self) -> "Firmware":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def asked(self) -> tuple[Message, tuple[str, int]] | None:
        """Ask once more; an answer to an earlier question, with its sender."""
        self._socket.sendto(encode(message(MessageType.REQUEST, options=named(UEFI))), self._server)
        try:
            data, sender = self._socket.recvfrom(4096)
        except (BlockingIOError, ConnectionRefusedError):
            return None
        return decode(data), sender


async def test_the_boot_port_is_open_while_a_proxy_subnet_is_declared(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        await declare(bus, loopback(mode="proxy"), NODE01)
        async with service("dhcp", dhcp, settings) as server:
            with Firmware(server.port) as firmware, Relay(server) as relay:
                answer, sender = await until(firmware.asked, "the boot port answers")
                assert (answer.type, answer.file) == (MessageType.ACK, b"shimx64.efi")
                assert sender == ("127.0.0.1", server.port + BOOT_PORT_ABOVE)
                offer = await relay.ask(MessageType.DISCOVER, MAC, **UEFI)
                assert (offer.yiaddr, offer.file) == (NONE, b"shimx64.efi")
                await declare(bus, loopback())
                await until(lambda: is_free(server.port + BOOT_PORT_ABOVE), "the boot port is closed again")
                granted = await relay.obtain(MAC, **UEFI)
                assert str(granted.yiaddr) == "127.77.1.0"


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture
def switch() -> Iterator[Link]:
    """Three hosts on a switch; the test is on the server's side."""
    needs.root()
    needs.program("ip", "iproute2")
    cable = Link(neighbour=True)
    try:
        cable.build()
        with cable.entered():
            yield cable
    finally:
        cable.remove()


def dnsmasq(link: Link, folder: Path) -> list[str]:
    """The other DHCP server: addresses, and no boot program."""
    program = needs.program("dnsmasq", "dnsmasq-base")
    return link.at_neighbour(
        *(program, "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--no-ping"),
        *("--dhcp-range=10.77.0.180,10.77.0.180,1h", "--dhcp-authoritative"),
        *(f"--dhcp-leasefile={folder}/dnsmasq.leases", f"--pid-file={folder}/dnsmasq.pid"),
    )


async def test_beside_a_real_server_machines_boot_and_nobody_loses_an_address(tmp_path: Path, switch: Link) -> None:
    """dnsmasq gives the addresses. Its clients notice nothing of us; firmware has an offer of each of us."""
    settings = settings_in(tmp_path, dhcp__listen="0.0.0.0", dhcp__port=67)
    other = await asyncio.create_subprocess_exec(*dnsmasq(switch, tmp_path), stderr=asyncio.subprocess.DEVNULL)
    try:
        async with nats_server(settings), bus_of(settings) as bus, recorder(settings) as tape:
            await declare(bus, subnet(mode="proxy"), machine(mac=CLIENT_MAC, netboot="install"))
            async with service("dhcp", dhcp, settings), udhcpc(switch, tmp_path, "-C") as client:
                await until(lambda: held(settings) >= 2, "the service knows the fleet")
                assert f"ip={HELD} siaddr={NEIGHBOUR} file= " in await client.seen("bound")
                await check_firmware(switch)
                assert [event.ip for event in tape.of(LeaseOffered)][:1] == [None]
                assert [kind for kind in {event.TYPE for event in tape.events} if kind != "lease.offered"] == []
    finally:
        other.terminate()
        await other.wait()


async def check_firmware(switch: Link) -> None:
    """Firmware hears both servers, then asks the one without address at port 4011."""
    with switch.inside_client():
        ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, CLIENT_INTERFACE.encode())
        ears.bind(("0.0.0.0", 68))
        boot = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        boot.bind(("0.0.0.0", 4011))
    with ears, boot:
        discover = message(MessageType.DISCOVER, CLIENT_MAC, named(UEFI), flags=BROADCAST_FLAG)
        offers: dict[IPv4Address, Message] = {}

        def both() -> bool:
            ears.sendto(encode(discover), ("255.255.255.255", 67))
            offers.update((IPv4Address(reply.options[54]), reply) for reply in heard(ears))
            return {SERVER, IPv4Address(NEIGHBOUR)} <= offers.keys()

        await until(both, "both servers have made an offer")
        assert (offers[SERVER].yiaddr, offers[SERVER].file) == (NONE, b"shimx64.efi")
        assert str(offers[IPv4Address(NEIGHBOUR)].yiaddr) == HELD
        request = encode(message(MessageType.REQUEST, CLIENT_MAC, named(UEFI), ciaddr=IPv4Address(HELD)))

        def acknowledged() -> Message | None:
            boot.sendto(request, (str(SERVER), 4011))
            return next((reply for reply in heard(boot) if reply.type == MessageType.ACK), None)

        ack = await until(acknowledged, "port 4011 answers")
        assert (ack.siaddr, ack.file, ack.yiaddr) == (SERVER, b"shimx64.efi", NONE)


def heard(sock: socket.socket) -> list[Message]:
    """The messages that wait in a socket."""
    found = []
    while True:
        try:
            found.append(decode(sock.recv(4096)))
        except (BlockingIOError, ConnectionRefusedError):
            return found
