"""A transfer, a client and a bad line between them, on a clock that only this module moves."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from libs.wire.tftp import Ack, Data, OptionAck, decode
from services.tftp.session import Burst, Transfer

DELAY = 0.004  # seconds, one way
LATE = 0.250
CLIENT_PATIENCE = 1.5


@dataclass
class Client:
    """A receiver as RFC 1350 and RFC 7440 want it: it answers whole windows, gaps, and what it has already."""

    blksize: int
    windowsize: int
    received: bytearray = field(default_factory=bytearray)
    done: bool = False
    _block: int = 0
    _in_window: int = 0

    def hear(self, raw: bytes) -> bytes | None:
        """A datagram from the server; what the client answers."""
        packet = decode(raw)
        if isinstance(packet, OptionAck):
            return self.last_word() if self._block == 0 else None
        if not isinstance(packet, Data):
            raise AssertionError(f"the server said {packet}")
        if packet.block != (self._block + 1) & 0xFFFF or self.done:
            self._in_window = 0
            return self.last_word()
        self._block += 1
        self._in_window += 1
        self.received += packet.payload
        self.done = len(packet.payload) < self.blksize
        if self.done or self._in_window == self.windowsize:
            self._in_window = 0
            return self.last_word()
        return None

    def last_word(self) -> bytes:
        """The acknowledgement of all that came so far."""
        return Ack(self._block & 0xFFFF).encode()


class Link:
    """Carries datagrams both ways. Each takes the next fate: ok, lose, double or late; all is well afterwards."""

    def __init__(self, transfer: Transfer, client: Client, fates: Iterator[str]) -> None:
        self.now = 0.0
        self.to_client = 0  # datagrams that the server sent
        self._transfer = transfer
        self._client = client
        self._fates = fates
        self._queue: list[tuple[float, int, bool, bytes]] = []
        self._order = count()
        self._client_waits_until = CLIENT_PATIENCE

    def run(self) -> None:
        """Until the transfer has ended. Fails where it does not, or where datagrams breed datagrams."""
        self._send(self._transfer.begin(self.now))
        patience = 5000 + 10 * (self._transfer.size // self._transfer.terms.blksize)
        while self._transfer.ending is None:
            self._step()
            patience -= 1
            assert patience > 0, "the transfer does not end"

    def _step(self) -> None:
        arrival = self._queue[0][0] if self._queue else float("inf")
        if min(self._transfer.deadline, self._client_waits_until) < arrival:
            self._silence()
            return
        self.now, _, for_client, raw = heapq.heappop(self._queue)
        if for_client:
            self._client_waits_until = self.now + CLIENT_PATIENCE
            answer = self._client.hear(raw)
            if answer is not None:
                self._carry(answer, for_client=False)
        else:
            self._send(self._transfer.receive(raw, self.now))

    def _silence(self) -> None:
        if self._transfer.deadline <= self._client_waits_until:
            self.now = self._transfer.deadline
            self._send(self._transfer.expire(self.now))
            return
        self.now = self._client_waits_until
        self._client_waits_until = self.now + CLIENT_PATIENCE
        if self._client.received or self._transfer.confirmed:
            self._carry(self._client.last_word(), for_client=False)
        else:
            self._send(self._transfer.repeat(self.now))

    def _send(self, burst: Burst) -> None:
        self.to_client += len(burst)
        for raw in burst:
            self._carry(raw, for_client=True)

    def _carry(self, raw: bytes, *, for_client: bool) -> None:
        fate = next(self._fates, "ok")
        delays = {"ok": (DELAY,), "lose": (), "double": (DELAY, DELAY), "late": (LATE,)}[fate]
        for delay in delays:
            heapq.heappush(self._queue, (self.now + delay, next(self._order), for_client, raw))
