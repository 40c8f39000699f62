"""The socket that requests come to, and the sockets that answers leave from: always the address that was asked."""

import fcntl
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from libs.settings import HostPort
from services.tftp.transmit import Address

LARGEST_REQUEST = 2048  # octets
BUFFER = 4 * 1024 * 1024  # octets: a rack that is switched on asks at once
_ANCILLARY_ROOM = 256
_IP_PKTINFO = 8  # linux/in.h; the socket module names it from Python 3.12 on
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h
_SIOCGIFMTU = 0x8921  # linux/sockios.h
_INFO = struct.Struct("=i4s4s")  # struct in_pktinfo: interface, our address, the header's destination
_INFO6 = struct.Struct("=16si")  # struct in6_pktinfo: destination, interface
_MTU = struct.Struct("16si")  # struct ifreq
_HEADERS, _HEADERS6 = 32, 52  # octets of IP, UDP and TFTP before a block
_LOOPBACK_MTU = 65535


@dataclass(frozen=True, slots=True)
class Arrival:
    """A datagram: who sent it, and to which of our addresses, through which interface."""

    raw: bytes
    client: Address
    local: str
    interface: int

    @property
    def ip(self) -> str:
        """The client's address; an IPv4 one in IPv4's spelling, also on a socket for both."""
        return self.client[0].removeprefix("::ffff:").partition("%")[0]

    def client_on(self, sock: socket.socket) -> Address:
        """The client as the socket of its transfer sees it."""
        return (self.ip, self.client[1]) if sock.family == socket.AF_INET else self.client


def listen(address: HostPort) -> socket.socket:
    """Open the socket for requests. Raises OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        widen(sock)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def receive(sock: socket.socket) -> Arrival | None:
    """The next request, None where there is none.

    One that was sent to many (broadcast, multicast) has an empty `local`: it is to be ignored silently (RFC 1123
    section 4.2.3.5).
    """
    try:
        raw, ancillary, _, client = sock.recvmsg(LARGEST_REQUEST, _ANCILLARY_ROOM)
    except OSError:
        return None
    local, interface = "", 0
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            interface, ours, destination = _INFO.unpack_from(data)
            local = socket.inet_ntop(socket.AF_INET, ours) if ours == destination else ""
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            destination, interface = _INFO6.unpack_from(data)
            local = "" if destination[0] == 0xFF else socket.inet_ntop(socket.AF_INET6, destination)
    return Arrival(raw, client, local, interface)


def answer(sock: socket.socket, arrival: Arrival, packet: bytes) -> None:
    """Answer from the listening socket, by the address that was asked: for a request that gets no transfer."""
    if sock.family == socket.AF_INET6:
        destination = socket.inet_pton(socket.AF_INET6, arrival.local)
        info = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _INFO6.pack(destination, arrival.interface))
    else:
        ours = socket.inet_aton(arrival.local)
        info = (socket.IPPROTO_IP, _IP_PKTINFO, _INFO.pack(0, ours, ours))
    sock.sendmsg([packet], [info], 0, arrival.client)


def widen(sock: socket.socket) -> None:
    """Room for many clients' datagrams, both ways: beyond the system's limit where this process may."""
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, BUFFER)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, plain, BUFFER)


def transfer_socket(arrival: Arrival) -> socket.socket:
    """A socket with a port of its own on the address that was asked. Raises OSError.

    It is not connected: datagrams from other ports must reach it, to be told that they are strays.
    """
    six = ":" in arrival.local
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        widen(sock)
        if six:
            scope = arrival.interface if ip_address(arrival.local).is_link_local else 0
            sock.bind((arrival.local, 0, 0, scope))
        else:
            sock.bind((arrival.local, 0))
    except OSError:
        sock.close()
        raise
    return sock


def room(sock: socket.socket, arrival: Arrival) -> int:
    """The largest block that leaves through the request's interface in one piece."""
    try:
        name = socket.if_indextoname(arrival.interface)
        _, mtu = _MTU.unpack(fcntl.ioctl(sock, _SIOCGIFMTU, _MTU.pack(name.encode(), 0)))
    except OSError:
        return 0  # the interface has gone: the default block size fits everywhere
    native6 = ":" in arrival.ip
    return int(min(mtu, _LOOPBACK_MTU)) - (_HEADERS6 if native6 else _HEADERS)
