"""What has arrived at a lane: many datagrams in one call where the system has such a call, else one by one."""

import socket
from collections.abc import Sequence

from services.tftp.native import Datagram, Receiver, UnsupportedError, address, raw_address
from services.tftp.transmit import Address

LARGEST = 2048  # octets: clients send acknowledgements and errors
_AT_ONCE = 64


class _OneByOne:
    """The same as native.Receiver, in calls that every system has."""

    def __init__(self) -> None:
        self._octets: list[bytes] = []

    def take(self, sock: socket.socket) -> Sequence[Datagram]:
        """What is there, a bounded number."""
        self._octets, found = [], []
        for at in range(_AT_ONCE):
            try:
                raw, sender = sock.recvfrom(LARGEST)
            except OSError:
                break
            opcode, number = int.from_bytes(raw[:2]), int.from_bytes(raw[2:4])
            found.append((raw_address(sock, sender), opcode, number, len(raw), at))
            self._octets.append(raw)
        return found

    def octets(self, datagram: Datagram) -> bytes:
        """All of a datagram."""
        return self._octets[datagram[4]]


class Hearing:
    """Reads lanes."""

    def __init__(self, *, one_by_one: bool = False) -> None:
        self._reader: Receiver | _OneByOne
        try:
            self._reader = _OneByOne() if one_by_one else Receiver()
        except (UnsupportedError, OSError):
            self._reader = _OneByOne()
        self.take = self._reader.take
        self.octets = self._reader.octets

    @staticmethod
    def address(name: bytes) -> Address:
        """A sender as the socket module spells it."""
        return address(name)
