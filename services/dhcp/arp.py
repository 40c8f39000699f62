"""Puts probes on the link and hears who answers: a packet socket an interface, open only while probes are under way."""

import asyncio
import socket
from collections.abc import Callable

from libs.wire import WireError
from libs.wire.arp import Sighting, probe, read_sighting
from services.dhcp.probing import Probe

_ETHERTYPE_ARP = 0x0806
_ARPHRD_ETHER = 1  # linux/if_arp.h
_EVERYBODY = b"\xff" * 6
_LARGEST = 128  # octets; an ARP packet on Ethernet has 28, padded to 46
_AT_ONCE = 256  # packets that are taken per wake-up


class Prober:
    """`heard` is told of each host that says it has an address, on any interface that is being probed."""

    def __init__(self, heard: Callable[[list[Sighting]], None]) -> None:
        self._heard = heard
        self._sockets: dict[int, socket.socket] = {}

    def ask(self, question: Probe) -> None:
        """Send a probe. Raises OSError where it cannot: its deadline then passes unanswered."""
        sock = self._sockets.get(question.index) or self._open(question.index)
        _, _, _, hardware_type, hardware = sock.getsockname()
        if hardware_type == _ARPHRD_ETHER:
            interface = socket.if_indextoname(question.index)
            sock.sendto(probe(question.address, hardware), (interface, _ETHERTYPE_ARP, 0, 0, _EVERYBODY))

    def rest(self) -> None:
        """No probe is under way: the link's ARP traffic concerns nobody."""
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _open(self, index: int) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        try:
            sock.bind((socket.if_indextoname(index), _ETHERTYPE_ARP))
        except OSError:
            sock.close()
            raise
        self._sockets[index] = sock
        asyncio.get_running_loop().add_reader(sock, self._listen, sock)
        return sock

    def _listen(self, sock: socket.socket) -> None:
        sightings = []
        for _ in range(_AT_ONCE):
            try:
                sighting = read_sighting(sock.recv(_LARGEST))
            except WireError:
                continue
            except OSError:
                break  # nothing more waits, or the interface is gone
            if sighting:
                sightings.append(sighting)
        if sightings:
            self._heard(sightings)
