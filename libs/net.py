"""Which of this host's addresses other hosts see."""

import socket
from ipaddress import IPv4Address


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
