"""What a client may have of what it asks for (RFC 2347, 2348, 2349, 7440). An option that is wrong is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.wire.tftp import DEFAULT_BLKSIZE, MAX_BLKSIZE, MAX_TIMEOUT, MAX_WINDOWSIZE, MIN_BLKSIZE, option

LARGEST_WINDOW = 64  # blocks
LARGEST_BURST = 128 * 1024  # octets in flight: below the default receive buffer of common systems
_MOST_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """How one transfer runs. `granted` is what the OACK says; where it is empty there is no OACK."""

    blksize: int = DEFAULT_BLKSIZE  # octets
    windowsize: int = 1  # blocks that one acknowledgement answers
    timeout: int | None = None  # seconds between repetitions, where the client asked
    granted: Mapping[str, str] = field(default_factory=dict)

    @property
    def tells_size(self) -> bool:
        """The OACK tells the file's size, which may be all that the client wants to know."""
        return option(self.granted, "tsize") is not None


def negotiate(asked: Mapping[str, str], *, size: int, room: int) -> Terms:
    """The terms for a file of `size` octets, where a block of `room` octets fits one datagram unfragmented.

    Options come back in the client's order and spelling, because some firmware compares them octet by octet.
    """
    blksize = _grant(asked, "blksize", MIN_BLKSIZE, MAX_BLKSIZE, most=max(room, DEFAULT_BLKSIZE))
    window_room = max(1, LARGEST_BURST // (blksize or DEFAULT_BLKSIZE))
    windowsize = _grant(asked, "windowsize", 1, MAX_WINDOWSIZE, most=min(LARGEST_WINDOW, window_room))
    timeout = _grant(asked, "timeout", 1, MAX_TIMEOUT, most=MAX_TIMEOUT)
    tsize = size if _number(asked, "tsize") is not None else None
    values = {"blksize": blksize, "windowsize": windowsize, "timeout": timeout, "tsize": tsize}
    granted = {spelled: str(value) for spelled in asked if (value := values.get(spelled.lower())) is not None}
    return Terms(blksize or DEFAULT_BLKSIZE, windowsize or 1, timeout, granted)


def _grant(asked: Mapping[str, str], name: str, least: int, largest: int, *, most: int) -> int | None:
    """What is asked, at most `most`; None where it is not asked or outside what its RFC allows."""
    number = _number(asked, name)
    if number is None or not least <= number <= largest:
        return None
    return min(number, most)


def _number(asked: Mapping[str, str], name: str) -> int | None:
    found = option(asked, name)
    if found is None or not (found[1].isascii() and found[1].isdigit() and len(found[1]) <= _MOST_DIGITS):
        return None
    return int(found[1])
