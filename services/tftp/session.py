"""One transfer of one file to one client, without sockets or clock: datagrams and `now` in, datagrams out.

Theory of operation. Blocks are counted from 1 without end; the wire shows the low 16 bits. Between acknowledgements
a window of blocks is under way (one block, unless the client asked for more, RFC 7440):

    acknowledged            sent
    ... | first  ...        last |  not sent yet ...

An ACK of `last` opens the next window. An ACK inside the window means that the block after it was lost: the window
starts again there. Every other ACK, the repeated one above all, is old news and draws nothing (the sorcerer's
apprentice, RFC 1123 section 4.2.3.1). Silence past the deadline repeats the window, less and less often.

The client counts on windows of the size that was granted, so that loss cannot make them smaller; it makes what leaves
at once smaller. After silence, or gaps in two windows on end, a window leaves in halves, then quarters, with pauses in
between; every window that arrives whole doubles the pieces again.

Until the first ACK nobody has proved that the client is where the request came from: only the first packet is sent
and repeated, a few times. The transfer is complete when the last block, which is shorter than the others and
perhaps empty, is acknowledged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from libs.wire import WireError
from libs.wire.tftp import Error, ErrorCode, OptionAck, acknowledged, decode
from services.tftp.content import Content, ContentChangedError, Window
from services.tftp.negotiate import Terms
from services.tftp.roundtrip import RoundTrip

LEAST_PAUSE = 0.001  # seconds between the pieces of a window
GIVE_UP = 30.0  # seconds without progress
HALF_OPEN_REPEATS = 4  # of the first packet, to a client that never answered
HALF_OPEN_GIVE_UP = 15.0  # seconds
STALE = 2.0  # seconds without progress after which a request anew comes from a client that started over
_PROBES = (ErrorCode.UNDEFINED, ErrorCode.OPTION_NEGOTIATION)  # iPXE and EDK2, when they only asked for the size

Burst = Sequence[bytes]
NOTHING: Burst = ()


class End(Enum):
    """How a transfer ended."""

    COMPLETED = "completed"  # the last block is acknowledged
    PROBED = "probed"  # the client only asked for the size
    ABORTED = "aborted"  # the client, or we, sent ERROR
    TIMED_OUT = "timed_out"  # silence
    REPLACED = "replaced"  # the client asked anew, before it had anything
    EVICTED = "evicted"  # it never answered, and others wanted its place


@dataclass(frozen=True, slots=True)
class Ending:
    """How a transfer ended, and in words why."""

    how: End
    detail: str = ""


class Transfer:
    """The state of one transfer. `deadline` is when `expire` wants to be called; `ending` is set when it is over."""

    __slots__ = (
        "_acked",
        "_content",
        "_edge",
        "_first_packet",
        "_furthest",
        "_gap",
        "_heard",
        "_last",
        "_measured",
        "_piece",
        "_progressed",
        "_repeats",
        "_sent_at",
        "_total",
        "confirmed",
        "deadline",
        "ending",
        "retransmits",
        "round_trip",
        "started",
        "terms",
    )

    def __init__(self, content: Content, terms: Terms, now: float) -> None:
        self.terms = terms
        self.started = now
        self.deadline = now
        self.ending: Ending | None = None
        self.confirmed = False  # the client has acknowledged something
        self.retransmits = 0  # datagrams sent more than once
        self.round_trip = RoundTrip(terms.timeout)
        self._content = content
        self._total = content.size // terms.blksize + 1
        self._acked = 0  # the last block acknowledged
        self._last = 0  # the last block under way
        self._edge = 0  # the last block of the window, which may not have left yet
        self._piece = terms.windowsize  # blocks that leave at once
        self._gap = False  # in the window before
        self._furthest = 0  # the last block ever sent
        self._first_packet: Burst = NOTHING
        self._sent_at = now
        self._measured = False  # what is under way was sent once only
        self._progressed = now
        self._heard = now
        self._repeats = 0

    @property
    def size(self) -> int:
        """Octets to send in all."""
        return self._content.size

    @property
    def delivered(self) -> int:
        """Octets acknowledged so far."""
        return min(self._acked * self.terms.blksize, self._content.size)

    @property
    def block(self) -> int:
        """The last block acknowledged, counted without roll-over."""
        return self._acked

    @property
    def seconds(self) -> float:
        """From the request to the last acknowledgement."""
        return self._progressed - self.started

    def begin(self, now: float) -> Burst:
        """The first packet: OACK where options are granted, else block 1 (RFC 2347)."""
        if self.terms.granted:
            self._first_packet = (OptionAck(self.terms.granted).encode(),)
            self._under_way(now, measured=True)
        else:
            self._first_packet = self._window(now)
        return self._first_packet

    def receive(self, raw: bytes, now: float) -> Burst:
        """A datagram from the client came; what is to be sent now."""
        number = acknowledged(raw)
        if number < 0:
            self._other(raw)
            return NOTHING
        return self.acknowledge(number, now)

    def acknowledge(self, number: int, now: float) -> Burst:
        """The client acknowledged the block with this number on the wire; what is to be sent now."""
        ahead = (number - self._acked) & 0xFFFF
        # 0 is good news once: as the answer to an OACK, when no block was sent yet.
        if ahead > self._furthest - self._acked or (not ahead and self._furthest):
            return NOTHING
        if self._measured:
            self.round_trip.measure(now - self._sent_at)
        self.confirmed = True
        self._acked += ahead
        self._progressed = self._heard = now
        if self._acked == self._total:
            self.ending = Ending(End.COMPLETED)
            return NOTHING
        if self.terms.windowsize > 1:
            self._adapt(gap=self._acked < self._edge)
        return self._window(now)

    def _adapt(self, *, gap: bool) -> None:
        """How much leaves at once, after a window arrived whole or with a gap."""
        if not gap:
            self._piece = min(self._piece * 2, self.terms.windowsize)
        elif self._gap:
            self._piece = max(1, self._piece // 2)
        self._gap = gap

    def repeat(self, now: float) -> Burst:
        """The client sent its request again. It gets the first packet again only while it has answered nothing."""
        if self.confirmed:
            return NOTHING
        self._heard = now
        self.retransmits += 1
        self._under_way(now, measured=False)
        return self._first_packet

    def expire(self, now: float) -> Burst:
        """The deadline passed; what is to be sent again."""
        if now < self.deadline:
            return NOTHING
        if not self.confirmed:
            return self._expire_half_open(now)
        if self._last < self._edge:
            return self._next_piece(now)
        if now - self._progressed >= GIVE_UP:
            self.ending = Ending(End.TIMED_OUT, f"no acknowledgement of block {self._acked + 1} came")
            return (Error(ErrorCode.UNDEFINED, "no acknowledgement came").encode(),)
        self.round_trip.back_off()
        self._piece = max(1, self._piece // 2)
        return self._window(now)

    def stale(self, now: float) -> bool:
        """The client acknowledged something once, and then nothing for long: a request anew is a new beginning."""
        return self.confirmed and now - self._progressed >= STALE

    def replace(self) -> None:
        """The client gave this transfer up by asking anew."""
        self.ending = Ending(End.ABORTED if self._acked else End.REPLACED, "the client asked for the file anew")

    def _expire_half_open(self, now: float) -> Burst:
        if now - self._heard >= HALF_OPEN_GIVE_UP:
            self.ending = Ending(End.TIMED_OUT, "the client never answered the first packet")
            return NOTHING
        self.round_trip.back_off()
        self._under_way(now, measured=False)
        if self._repeats >= HALF_OPEN_REPEATS:
            return NOTHING
        self._repeats += 1
        self.retransmits += 1
        return self._first_packet

    def _other(self, raw: bytes) -> None:
        """Only an ERROR means something; everything else from the client is ignored."""
        try:
            packet = decode(raw)
        except WireError:
            return
        if not isinstance(packet, Error):
            return
        probe = self.terms.tells_size and not self.confirmed and packet.code in _PROBES
        self.ending = Ending(End.PROBED if probe else End.ABORTED, f"code {packet.code}: {packet.message}")

    def changed(self) -> Burst:
        """The file is no longer what it was: the transfer ends, and the client is told."""
        self.ending = Ending(End.ABORTED, "the file changed during the transfer")
        return (Error(ErrorCode.UNDEFINED, "the file changed, ask for it again").encode(),)

    def _window(self, now: float) -> Burst:
        """The blocks after the acknowledged one, as many as the window takes."""
        self._edge = min(self._acked + self.terms.windowsize, self._total)
        self._last = self._acked
        return self._next_piece(now)

    def _next_piece(self, now: float) -> Burst:
        first = self._last + 1
        last = self._last = min(self._last + self._piece, self._edge)
        again = min(self._furthest, last) - first + 1
        if again > 0:
            self.retransmits += again
        if last > self._furthest:
            self._furthest = last
        whole = last == self._edge
        self._sent_at = now
        self._measured = again <= 0 and whole and first == self._acked + 1
        self.deadline = now + (self.round_trip.wait if whole else max(self.round_trip.smoothed / 8, LEAST_PAUSE))
        window = Window(self._content, self.terms.blksize, first, last - first + 1)
        return window if last < self._total else self._last_window(window)

    def _last_window(self, window: Window) -> Burst:
        """The end of the file is read before the file is looked at: what leaves belongs to what was checked."""
        try:
            datagrams = list(window)
            self._content.check()
        except ContentChangedError:
            return self.changed()
        return datagrams

    def _under_way(self, now: float, *, measured: bool) -> None:
        self._sent_at = now
        self._measured = measured
        self.deadline = now + self.round_trip.wait
