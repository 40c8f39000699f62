"""The UDP and packet sockets of the service: opened, drained into datagrams, and replies sent, each its own way."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address

from libs.wire.address import address_of
from libs.wire.dhcp import CLIENT_PORT
from libs.wire.ip import Endpoint, udp_packet
from services.dhcp.exchange import Datagram, Delivery, Reply

MAXIMUM_DATAGRAM = 4096  # octets; a request is never near that
MOST_AT_ONCE = 256  # datagrams that are taken per wake-up, so that other work, and answers, get their turn
RECEIVE_BUFFER = 8 << 20  # octets; room for the requests that come while a batch is stored

NO_FRAMES = (
    "without CAP_NET_RAW a client that has no address yet is answered by broadcast;"
    " some firmware ignores that: run as root or grant the capability"
)

_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_PKTINFO = struct.Struct("=i4s4s")  # interface index, our address, the header's destination
_ETHERTYPE_IPV4 = 0x0800


def open_udp(address: str, port: int, *, interface: str | None = None, shared: bool = True) -> socket.socket:
    """A socket for requests; with `interface`, for those that come in there alone. Raises OSError.

    `shared` lets the sockets of this service have the same port. A first one that is not shared finds out whether
    another program has it.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(shared))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        _widen(sock)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def _widen(sock: socket.socket) -> None:
    """A large buffer, beyond the system's limit where we may."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def drain(sock: socket.socket, *, at_boot_port: bool = False) -> Iterator[Datagram]:
    """What waits in a socket, at most MOST_AT_ONCE datagrams."""
    names: dict[int, str] = {}  # interfaces by index, as they are called at this wake-up
    space = socket.CMSG_SPACE(_PKTINFO.size)
    for _ in range(MOST_AT_ONCE):
        try:
            data, ancillary, _, sender = sock.recvmsg(MAXIMUM_DATAGRAM, space)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # An ICMP error for an earlier reply, or the interface went down: told once, then the socket goes on.
            continue
        for level, kind, content in ancillary:
            if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                yield _datagram(data, sender, content, at_boot_port, names)


def _datagram(
    data: bytes, sender: tuple[str, int], pktinfo: bytes, at_boot_port: bool, names: dict[int, str]
) -> Datagram:
    index, local, destination = _PKTINFO.unpack_from(pktinfo)
    interface = names.get(index)
    if interface is None:
        try:
            interface = socket.if_indextoname(index)
        except OSError:
            interface = ""  # it is gone since
        names[index] = interface
    return Datagram(
        data,
        _spelled(sender[0]),
        sender[1],
        address_of(destination),
        address_of(local),
        interface,
        index,
        at_boot_port,
    )


@lru_cache(maxsize=8192)
def _spelled(text: str) -> IPv4Address:
    """Relays come again and again."""
    return address_of(socket.inet_aton(text))


class Sender:
    """Sends replies. Without CAP_NET_RAW there is no packet socket: `can_frame` is false, and frames are broadcast."""

    def __init__(self, udp: socket.socket, server_port: int) -> None:
        self._udp = udp
        self._port = server_port
        self.boot: socket.socket | None = None  # the boot port's, while it is open
        self._packet: socket.socket | None = None
        with contextlib.suppress(PermissionError):
            # Protocol 0: it sends, and receives nothing.
            self._packet = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)

    @property
    def can_frame(self) -> bool:
        """Whether clients without an address can be reached by a frame of their own."""
        return self._packet is not None

    def send(self, reply: Reply) -> None:
        """Raises OSError where the reply cannot leave."""
        way = reply.delivery
        if way.way == "frame":
            self._send_frame(reply.data, way)
        elif way.way == "broadcast":
            self._send_udp(reply.data, way, "255.255.255.255")
        else:
            self._send_udp(reply.data, way, str(way.address))

    def _send_udp(self, data: bytes, way: Delivery, address: str) -> None:
        """From the address and port that were asked; a broadcast on the interface that the request came in by."""
        pktinfo = _PKTINFO.pack(way.index, way.source.packed, bytes(4))
        sock = self.boot if way.way == "boot" and self.boot else self._udp
        sock.sendmsg((data,), ((socket.IPPROTO_IP, _IP_PKTINFO, pktinfo),), 0, (address, way.port))

    def _send_frame(self, data: bytes, way: Delivery) -> None:
        if self._packet is None:
            self._send_udp(data, way, "255.255.255.255")
            return
        packet = udp_packet(data, Endpoint(way.source, self._port), Endpoint(way.address, CLIENT_PORT))
        interface = socket.if_indextoname(way.index)
        self._packet.sendto(packet, (interface, _ETHERTYPE_IPV4, 0, 0, way.chaddr))

    def close(self) -> None:
        """Close the packet socket; the UDP socket belongs to the server."""
        if self._packet:
            self._packet.close()
