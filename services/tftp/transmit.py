"""How datagrams leave: one call for each. A window in one call (UDP GSO, sendmmsg) would be another function here."""

import socket
from collections.abc import Sequence

Address = tuple[str, int] | tuple[str, int, int, int]  # as the socket module spells IPv4 and IPv6 addresses


def transmit(sock: socket.socket, datagrams: Sequence[bytes], to: Address) -> bool:
    """Send datagrams; whether all of them left.

    What does not leave (a full buffer, no route for a moment) is lost like anything on the way: the transfer's
    deadline repeats it.
    """
    try:
        for datagram in datagrams:
            sock.sendto(datagram, to)
    except OSError:
        return False
    return True
