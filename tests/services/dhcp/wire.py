"""The rules once more on the wire: each packet of a test is a frame on a cable, read and answered by real sockets.

A test says what arrives and what is to be answered; `Wire.carry` sends that as a raw frame into the server's namespace,
takes it from the service's own sockets, sends the engine's replies by its own sender, and reads them off the cable.
Two cables lead there: eth1, a link of clients, and eth0, by which relays and routers are reached.
"""

import os
import secrets
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

from libs.wire.ip import Endpoint, checksum, udp_packet
from services.dhcp.exchange import Datagram, Reply
from services.dhcp.sockets import Sender, drain, open_udp
from tests.services.dhcp.link import inside

PATIENCE = 5.0  # seconds; a frame takes microseconds
SERVER_PORT, BOOT_PORT = 67, 4011
OWN = 7  # the index of the interface that has a socket of its own
# As the tests of rules have it: name, index, our address, the far end's name.
CABLES = (("eth0", 2, "10.66.0.2", "far0"), ("eth1", OWN, "10.77.0.2", "far1"))
BROADCAST = b"\xff" * 6
FAR_MAC = bytes.fromhex("02000000aa01")
_ETHERTYPE_ALL = 0x0003
_IPV4 = b"\x08\x00"
_UDP = 17


class Frame(NamedTuple):
    """An answer as it came along a cable."""

    interface: str
    to: bytes  # the hardware address
    source: IPv4Address
    address: IPv4Address
    port: int
    payload: bytes


class Wire:
    """The namespaces, their cables, and the service's sockets. Made and removed by `laid`."""

    def __init__(self, server: str, far: str, stack: ExitStack) -> None:
        self._server = server
        with inside(server):
            self._macs = {name: bytes.fromhex(_address(server, name).replace(":", "")) for name, *_ in CABLES}
            self._main = stack.enter_context(open_udp("", SERVER_PORT))
            self._own = stack.enter_context(open_udp("", SERVER_PORT, interface="eth1"))
            self._boot = stack.enter_context(open_udp("", BOOT_PORT))
            self._sender = Sender(self._main, SERVER_PORT)
            self._sender.boot = self._boot
        stack.callback(self._sender.close)
        with inside(far):
            self._far = {name: stack.enter_context(_raw(end)) for name, _, _, end in CABLES}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is where the server is: interfaces are named there."""
        with inside(self._server):
            yield

    def carry(self, datagram: Datagram) -> Datagram:
        """The datagram as the service's sockets receive it."""
        port = BOOT_PORT if datagram.at_boot_port else SERVER_PORT
        source = Endpoint(datagram.source, datagram.source_port)
        packet = udp_packet(datagram.data, source, Endpoint(datagram.destination, port))
        everyone = datagram.destination == IPv4Address("255.255.255.255")
        to = BROADCAST if everyone else self._macs[datagram.interface]
        self._far[datagram.interface].send(to + FAR_MAC + _IPV4 + packet)
        return self._received()

    def _received(self) -> Datagram:
        while True:
            ready, _, _ = select.select([self._main, self._own, self._boot], [], [], PATIENCE)
            assert ready, "the frame never reached the service's sockets"
            # As the server does: what a socket of the interface's own gets, a broadcast, is not taken twice.
            found = [datagram for datagram in drain(self._main) if datagram.index != OWN]
            found += [*drain(self._own), *drain(self._boot, at_boot_port=True)]
            if found:
                assert len(found) == 1, f"one frame was sent, {len(found)} datagrams arrived"
                return found[0]

    def answer(self, reply: Reply) -> bytes:
        """Send the reply; the octets that came along the cable, by the way that the engine meant."""
        self._sender.send(reply)
        frame = self._heard()
        way = reply.delivery
        assert (frame.source, frame.address, frame.port) == (way.source, way.address, way.port)
        if way.way in ("frame", "broadcast"):
            assert frame.interface == {index: name for name, index, *_ in CABLES}[way.index]
            assert frame.to == (way.chaddr if way.way == "frame" else BROADCAST)
        return frame.payload

    def _heard(self) -> Frame:
        """The next answer on either cable."""
        while True:
            ready, _, _ = select.select(list(self._far.values()), [], [], PATIENCE)
            assert ready, "the answer never came along the cable"
            for name, ear in self._far.items():
                if ear in ready and (frame := _read(name, ear)):
                    return frame


@contextmanager
def laid() -> Iterator[Wire]:
    """The wire for as long as it is needed; the namespaces are removed by name."""
    name = f"kickfleet-wire-{os.getpid()}-{secrets.token_hex(3)}"
    server, far = f"{name}-s", f"{name}-f"
    with ExitStack() as stack:
        for namespace in (server, far):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "delete", namespace)
        with inside(server):
            # Machines far away come in by either cable, as behind a router.
            Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
            Path("/proc/sys/net/ipv4/conf/default/rp_filter").write_text("0")
        _ip("-n", server, "link", "set", "lo", "up")
        for cable in CABLES:
            _lay(server, far, *cable)
        _ip("-n", server, "route", "add", "default", "dev", "eth0")
        yield Wire(server, far, stack)


def _lay(server: str, far: str, name: str, index: int, address: str, end: str) -> None:
    ends = ["netns", server, "mtu", "9000", "type", "veth", "peer", "name", end, "mtu", "9000", "netns", far]
    _ip("link", "add", "name", name, "index", str(index), *ends)
    _ip("-n", server, "address", "add", f"{address}/24", "dev", name)
    if index == OWN:
        _ip("-n", server, "link", "set", name, "up")
        _introduce(server, name, address)
    else:
        # No ARP: relays are at any address.
        _ip("-n", server, "link", "set", name, "arp", "off", "up")
    _ip("-n", far, "link", "set", end, "arp", "off", "up")


def _introduce(server: str, name: str, address: str) -> None:
    """Clients that have an address: nobody is there to answer for them."""
    network = IPv4Network(f"{address}/24", strict=False)
    lines = [f"neighbour replace {host} lladdr {FAR_MAC.hex(':')} dev {name} nud permanent" for host in network.hosts()]
    command = ["ip", "-n", server, "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), check=True, capture_output=True, text=True)


def _raw(interface: str) -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETHERTYPE_ALL))
    ear.bind((interface, _ETHERTYPE_ALL))
    return ear


def _read(interface: str, ear: socket.socket) -> Frame | None:
    """The next frame, where it is an answer of the server. What this side sent itself is heard too, and left aside."""
    octets, origin = ear.recvfrom(16384)
    packet = octets[14:]
    if origin[2] == socket.PACKET_OUTGOING or octets[12:14] != _IPV4 or packet[9] != _UDP:
        return None
    assert checksum(packet[:20]) == 0, "the IP header's checksum is wrong"
    _, port, length = struct.unpack_from("!HHH", packet, 20)
    addresses = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    return Frame(interface, octets[:6], *addresses, port, packet[28 : 20 + length])


def _address(namespace: str, interface: str) -> str:
    """The hardware address of an interface."""
    shown = subprocess.run(
        ["ip", "-n", namespace, "-o", "link", "show", "dev", interface], check=True, capture_output=True, text=True
    )
    words = shown.stdout.split()
    return words[words.index("link/ether") + 1]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
