"""Which of this host's addresses other hosts see."""

import fcntl
import socket
import struct
from ipaddress import IPv4Address

_SIOCGIFADDR = 0x8915  # Linux: an interface's first address


def address_towards(target: IPv4Address) -> IPv4Address | None:
    """The local source address of packets to `target`, by the routing table; None where there is no route.

    Connecting a datagram socket asks the kernel for the route and sends nothing.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(target), 9))
        except OSError:
            return None
        return IPv4Address(probe.getsockname()[0])


def interface_addresses() -> set[IPv4Address]:
    """The first address of every interface that has one."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            found.add(IPv4Address(answer[20:24]))
    return found
