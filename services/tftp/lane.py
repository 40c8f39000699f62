"""Sockets that transfers share: a lane is one port on one of our addresses, with at most one transfer of a client.

Thousands of clients in lockstep cost one system call to hear and one to answer, not two a block each. To a client its
transfer has a port of its own: it is not the port of requests, and not the one of its transfer before.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

from libs.wire.tftp import Error, ErrorCode, Opcode, acknowledged
from services.tftp.channel import Channel
from services.tftp.hearing import LARGEST, Hearing
from services.tftp.limits import Recent
from services.tftp.listener import Arrival, transfer_socket
from services.tftp.native import raw_address
from services.tftp.transmit import Address, Letter, Way, best

LANES = 4  # for each of our addresses
FEW = 2  # clients of a lane that are heard one datagram a call, which is cheaper for so few
MEMORY = 60.0  # seconds in which a client does not get the same port again
TURNS = 4  # batches that a lane hears before the others have their turn
_STRAY = Error(ErrorCode.UNKNOWN_TRANSFER_ID, "unknown transfer").encode()
_ERROR = Opcode.ERROR.value


class Lane:
    """A socket, the channels on it by raw client address, and what waits to leave."""

    def __init__(self, sock: socket.socket, lanes: "Lanes") -> None:
        self.sock = sock
        self.channels: dict[bytes, Channel] = {}
        self.clients: dict[Address, Channel] = {}
        self.past = Recent(MEMORY)  # clients that had a transfer here
        self._lanes = lanes
        self._letters: list[Letter] = []
        self._hearing = False
        self._blocked = False

    def send(self, channel: Channel, burst: Sequence[bytes]) -> None:
        """Send, at the end of the batch where one is being heard."""
        self._letters.append((channel, burst))
        if not (self._hearing or self._blocked):
            self.flush()

    def flush(self) -> None:
        """Everything that waits leaves now, as far as the socket takes it."""
        letters, self._letters = self._letters, []
        left = self._lanes.way.send(self.sock, letters) if letters else []
        self._letters = left + self._letters
        self._block(bool(left))

    def readable(self) -> None:
        """Datagrams are there."""
        lanes = self._lanes
        if len(self.channels) <= FEW:
            self._hear_one()
            return
        for _ in range(TURNS):
            batch = lanes.hearing.take(self.sock)
            if not batch:
                return
            now = lanes.clock()
            self._hearing = True
            for datagram in batch:
                channel = self.channels.get(datagram[0])
                if channel is None:
                    self._turn_away(datagram[0], datagram[1])
                elif datagram[1] == 4 and datagram[3] >= 4:
                    channel.acknowledge(datagram[2], now)
                else:
                    channel.hear(lanes.hearing.octets(datagram), now)
            self._hearing = False
            if self._letters and not self._blocked:
                self.flush()
            if self.sock.fileno() < 0 or len(batch) < 8:
                return

    def _hear_one(self) -> None:
        try:
            raw, sender = self.sock.recvfrom(LARGEST)
        except OSError:
            return
        channel = self.clients.get(sender)
        if channel is None:
            self._turn_away(raw_address(self.sock, sender), int.from_bytes(raw[:2]))
        elif (number := acknowledged(raw)) >= 0:
            channel.acknowledge(number, self._lanes.clock())
        else:
            channel.hear(raw, self._lanes.clock())

    def join(self, channel: Channel) -> None:
        """A transfer begins."""
        self.channels[channel.name] = self.clients[channel.client] = channel

    def leave(self, channel: Channel) -> None:
        """A channel is over. The last one closes the lane behind it."""
        self.channels.pop(channel.name, None)
        self.clients.pop(channel.client, None)
        self.past.add(channel.name, self._lanes.clock())
        if not self.channels:
            self._hearing = False
            self.flush()
            self._lanes.close(self)

    def _block(self, blocked: bool) -> None:
        if blocked != self._blocked:
            self._blocked = blocked
            if blocked:
                self._lanes.loop.add_writer(self.sock, self.flush)
            else:
                self._lanes.loop.remove_writer(self.sock)

    def _turn_away(self, name: bytes, opcode: int) -> None:
        """A stray learns that it is one (RFC 1350 section 4); an error is never answered by an error."""
        self._lanes.stray()
        if opcode != _ERROR:
            with suppress(OSError):
                self.sock.sendto(_STRAY, self._lanes.hearing.address(name))


class Lanes:
    """All lanes of a server: by our address and interface."""

    def __init__(self, loop: asyncio.AbstractEventLoop, stray: Callable[[], None], way: Way | None = None) -> None:
        self.loop = loop
        self.clock = loop.time
        self.way = way or best()
        self.hearing = Hearing()
        self.stray = stray
        self._lanes: dict[tuple[str, int], list[Lane]] = {}
        self._turn = count()
        self._places: dict[Lane, tuple[str, int]] = {}

    def join(self, arrival: Arrival) -> tuple[Lane, bytes]:
        """A lane for a new transfer, and its client's raw address. Raises OSError."""
        place = (arrival.local, arrival.interface)
        lanes = self._lanes.setdefault(place, [])
        if len(lanes) >= LANES:
            turn = next(self._turn)
            for at in range(len(lanes)):
                lane = lanes[(turn + at) % len(lanes)]
                name = raw_address(lane.sock, arrival.client_on(lane.sock))
                if name not in lane.channels and not lane.past.has(name, self.clock()):
                    return lane, name
        lane = Lane(transfer_socket(arrival), self)
        lanes.append(lane)
        self._places[lane] = place
        self.loop.add_reader(lane.sock, lane.readable)
        return lane, raw_address(lane.sock, arrival.client_on(lane.sock))

    def close(self, lane: Lane) -> None:
        """Nobody uses it any more."""
        place = self._places.pop(lane, None)
        if place is None:
            return
        self.loop.remove_reader(lane.sock)
        self.loop.remove_writer(lane.sock)
        lane.sock.close()
        self._lanes[place].remove(lane)
        if not self._lanes[place]:
            del self._lanes[place]
