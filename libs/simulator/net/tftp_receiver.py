"""The receiving end of a TFTP transfer, without sockets or clock: datagrams in, datagrams out.

RFC 1350 and its options (2347, 2348, 2349, 7440), as boot firmware does it: what the server grants beyond what was
asked ends the transfer with ERROR 8, a gap is answered with the last block that came in order, once.
"""

from dataclasses import dataclass

from libs.simulator.errors import FailureKind, TransferError
from libs.simulator.net.download import Sink
from libs.simulator.net.tftp_packets import Granted, Refused, acknowledgement, answer, error, read_request
from libs.wire.tftp import DEFAULT_BLKSIZE, ErrorCode

_DATA = b"\0\3"
_KINDS: dict[int, FailureKind] = {ErrorCode.FILE_NOT_FOUND: "missing", ErrorCode.UNDEFINED: "broken"}


@dataclass(frozen=True)
class Habit:
    """The options that a TFTP client asks for. `probes`: it asks for the size first and breaks that transfer off."""

    blksize: int | None = None
    windowsize: int | None = None
    tsize: bool = True
    probes: bool = False

    def options(self, *, probe: bool) -> dict[str, str]:
        """As they stand in the request."""
        asked = {"tsize": "0"} if self.tsize or probe else {}
        if self.blksize is not None:
            asked["blksize"] = str(self.blksize)
        if self.windowsize is not None:
            asked["windowsize"] = str(self.windowsize)
        return asked


PXE_ROM = Habit(blksize=1456, tsize=False, probes=True)
EDK2 = Habit(blksize=1468, windowsize=4, tsize=False, probes=True)
SHIM = Habit(blksize=512, windowsize=4, tsize=False)
GRUB = Habit(blksize=1024)
PXELINUX = Habit(blksize=1408)
IPXE = Habit(blksize=1432)


class Receiver:
    """One transfer. `take` every datagram of the server; `again` is what a time-out sends once more."""

    def __init__(self, habit: Habit, sink: Sink, *, probe: bool = False) -> None:
        self.sink = sink
        self.finished = False
        self.blksize, self.windowsize = DEFAULT_BLKSIZE, 1
        self._asked = habit.options(probe=probe)
        self._probe = probe
        self._block = 0  # the last one that came in order, without rolling over
        self._in_window = 0
        self._gap = False  # a gap has been answered and not been filled yet
        self.again = read_request(sink.path, self._asked)

    def take(self, datagram: bytes) -> bytes | None:
        """A datagram of the server; gives the answer, if it draws one. Raises TransferError where it ends badly."""
        if datagram[:2] == _DATA and len(datagram) >= 4:
            return self._data(datagram)
        packet = answer(datagram)
        if isinstance(packet, Refused):
            name = self.sink.path
            raise TransferError(f"{name}: {packet.message} (TFTP error {packet.code})", _kind(packet.code))
        if isinstance(packet, Granted) and self._block == 0:
            return self._options(packet)
        return None

    def _options(self, packet: Granted) -> bytes | None:
        for name, value in packet.options.items():
            self._grant(name, value)
        if self._probe:
            return self._probed()
        self.again = acknowledgement(0)
        return self.again

    def _grant(self, name: str, value: str) -> None:
        asked = self._asked.get(name)
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 16 else -1
        if asked is None or number < 0 or (name != "tsize" and not 1 <= number <= int(asked)):
            raise NegotiationError(f"{self.sink.path}: the server grants {name}={value}, asked was {asked}", "broken")
        match name:
            case "tsize":
                self.sink.total = number
            case "blksize":
                self.blksize = number
            case "windowsize":
                self.windowsize = number

    def _probed(self) -> bytes:
        self.finished = True
        return error(ErrorCode.OPTION_NEGOTIATION)

    def _data(self, datagram: bytes) -> bytes | None:
        if self._probe:
            return self._probed()  # a server without options tells no size
        ahead = ((datagram[2] << 8 | datagram[3]) - self._block) & 0xFFFF
        if ahead == 1:
            return self._next(datagram)
        if ahead == 0 and self._block:
            return self.again  # the window was sent again: the acknowledgement was lost
        if ahead <= self.windowsize and not self._gap:
            self._gap, self._in_window = True, 0
            return self._acknowledge()
        return None

    def _next(self, datagram: bytes) -> bytes | None:
        length = len(datagram) - 4
        if length > self.blksize:
            raise TransferError(f"{self.sink.path}: a block of {length} octets, {self.blksize} were agreed", "broken")
        self._block += 1
        self._in_window += 1
        self._gap = False
        self.sink.write(datagram[4:])
        self.finished = length < self.blksize
        if self.finished or self._in_window >= self.windowsize:
            self._in_window = 0
            return self._acknowledge()
        return None

    def _acknowledge(self) -> bytes:
        self.again = acknowledgement(self._block & 0xFFFF)
        return self.again


class NegotiationError(TransferError):
    """The server granted what was not asked for; the client says so with ERROR 8 (RFC 2347)."""


def farewell(reason: TransferError) -> bytes | None:
    """The ERROR packet with which a client ends a transfer for this reason, if it is the client who ends it."""
    if isinstance(reason, NegotiationError):
        return error(ErrorCode.OPTION_NEGOTIATION)
    if reason.kind == "aborted":
        return error(ErrorCode.UNDEFINED)
    return None


def _kind(code: int) -> FailureKind:
    return _KINDS.get(code, "refused")
