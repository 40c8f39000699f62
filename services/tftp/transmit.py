"""How datagrams leave. Three ways, each for systems that lack the one before:

`Batched`: all that a loop's turn has to send in one sendmmsg, a window being one message that the kernel cuts (UDP
GSO). `Segmented`: one call a window. `Plain`: one call a datagram. Where the kernel refuses to cut for
a client (EINVAL, EIO: no GSO on this path, a segment above the MTU) its blocks leave one by one from then on.

What does not leave (no route for a moment) is lost like anything on the way: the transfer's deadline repeats it. A
full send buffer is another matter: the rest waits until the socket takes it.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Protocol

from libs.wire.tftp import HEADER_SIZE, data_header
from services.tftp.content import ContentChangedError, Window
from services.tftp.memory import address_of
from services.tftp.native import BATCH, UDP_SEGMENT, Outbox, UnsupportedError

Address = tuple[str, int] | tuple[str, int, int, int]  # as the socket module spells IPv4 and IPv6 addresses

LARGEST_MESSAGE = 65507  # octets in one call with GSO
MOST_SEGMENTS = 128  # in one call with GSO; Linux 5.15 takes 64, and the window is never larger
_FULL = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)
_NO_GSO = (errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EMSGSIZE)
_HEADERS = b"".join(map(data_header, range(65536)))
_HEADERS_AT = address_of(_HEADERS)


class Target(Protocol):
    """Where datagrams go."""

    @property
    def name(self) -> bytes:
        """The raw address, kept alive as long as the target."""

    @property
    def name_at(self) -> int:
        """Where the raw address lies."""

    @property
    def client(self) -> Address:
        """The address as the socket module spells it."""

    segments: bool  # the kernel has GSO on the way there, as far as is known

    def spoilt(self) -> None:
        """The file cannot be read any more as it was."""


Letter = tuple[Target, Sequence[bytes]]


class Way(Protocol):
    """One of the three."""

    def send(self, sock: socket.socket, letters: Sequence[Letter]) -> list[Letter]:
        """Send; what the socket's full buffer did not take, to be tried again."""


def best() -> Way:
    """The best way that this system has."""
    try:
        return Batched(Outbox())
    except (UnsupportedError, OSError):
        return Segmented()


def in_pieces(window: Window) -> Iterable[Window]:
    """A window as the calls that it takes with GSO."""
    most = min(MOST_SEGMENTS, LARGEST_MESSAGE // (window.blksize + HEADER_SIZE))
    if window.blocks <= most:
        return (window,)
    return (
        Window(window.content, window.blksize, window.first + at, min(most, window.blocks - at))
        for at in range(0, window.blocks, most)
    )


class Plain:
    """One call a datagram."""

    def send(self, sock: socket.socket, letters: Sequence[Letter]) -> list[Letter]:
        """Send; what the socket's full buffer did not take."""
        for at, (target, burst) in enumerate(letters):
            gone = 0
            try:
                for gone, datagram in enumerate(burst):  # noqa: B007 (what had left when it failed)
                    sock.sendto(datagram, target.client)
            except ContentChangedError:
                target.spoilt()
            except OSError as error:
                if error.errno in _FULL:
                    return [(target, burst[gone:]), *letters[at + 1 :]]
        return []


class Segmented:
    """One call a window, with GSO."""

    def __init__(self) -> None:
        self._plain = Plain()

    def send(self, sock: socket.socket, letters: Sequence[Letter]) -> list[Letter]:
        """Send; what the socket's full buffer did not take."""
        left: list[Letter] = []
        for target, burst in letters:
            for piece in in_pieces(burst) if isinstance(burst, Window) else (burst,):
                left += self._one(sock, target, piece) if not left else [(target, piece)]
        return left

    def _one(self, sock: socket.socket, target: Target, burst: Sequence[bytes]) -> list[Letter]:
        if not isinstance(burst, Window) or burst.blocks == 1 or not target.segments:
            return self._plain.send(sock, [(target, burst)])
        try:
            datagrams = list(burst)
            segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", len(datagrams[0])))]
            sock.sendmsg(datagrams, segment, 0, target.client)
        except ContentChangedError:
            target.spoilt()
        except OSError as error:
            if error.errno in _FULL:
                return [(target, burst)]
            if error.errno in _NO_GSO:
                target.segments = False
                return self._plain.send(sock, [(target, burst)])
        return []


class Batched:
    """Everything in one sendmmsg, windows with GSO."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._plain = Plain()
        self._waiting: list[Letter] = []  # what each message of the outbox is
        self._kept: list[bytes] = []  # octets that messages point at

    def send(self, sock: socket.socket, letters: Sequence[Letter]) -> list[Letter]:
        """Send; what the socket's full buffer did not take."""
        if len(letters) == 1 and len(letters[0][1]) == 1:
            return self._plain.send(sock, letters)  # one client in lockstep: a plain call is the cheapest
        left: list[Letter] = []
        for at in range(0, len(letters), BATCH):
            some = letters[at : at + BATCH]
            if left:
                left += some
            elif all(type(burst) is Window and burst.blocks == 1 and burst.content.address for _, burst in some):
                left += self._lockstep(sock, some)
            else:
                left += self._mixed(sock, some)
        return left

    def _lockstep(self, sock: socket.socket, letters: Sequence[Letter]) -> list[Letter]:
        """At most a batch of single blocks."""
        self._waiting = list(letters)
        self._outbox.add_blocks(
            (
                target.name_at,
                len(target.name),
                _HEADERS_AT + (burst.first & 0xFFFF) * HEADER_SIZE,
                burst.content.address + (burst.first - 1) * burst.blksize,
                burst.blksize,
            )
            for target, burst in letters
            if isinstance(burst, Window)
        )
        return self._flush(sock)

    def _mixed(self, sock: socket.socket, letters: Sequence[Letter]) -> list[Letter]:
        left: list[Letter] = []
        for letter in letters:
            target, burst = letter
            if left:
                left.append(letter)
            elif not isinstance(burst, Window):
                for datagram in burst:
                    left += self._room(sock, 2)
                    self._octets(target, datagram)
            elif not burst.content.address:
                left += self._flush(sock) + self._plain.send(sock, [letter])
            elif burst.blocks == 1 or not target.segments:
                for block in range(burst.first, burst.first + burst.blocks):
                    left += self._room(sock, 2)
                    self._block(target, burst, block)
            else:
                for piece in in_pieces(burst):
                    left += self._room(sock, 2 * piece.blocks)
                    self._window(target, piece)
        return left + self._flush(sock)

    def _room(self, sock: socket.socket, pieces: int) -> list[Letter]:
        return [] if self._outbox.fits(pieces) else self._flush(sock)

    def _octets(self, target: Target, datagram: bytes) -> None:
        self._kept.append(datagram)
        self._outbox.add(target.name_at, len(target.name), [address_of(datagram), len(datagram)], 0)
        self._waiting.append((target, (datagram,)))

    def _block(self, target: Target, window: Window, block: int) -> None:
        """Never the file's last block: that one was read."""
        blksize = window.blksize
        header = _HEADERS_AT + (block & 0xFFFF) * HEADER_SIZE
        octets = window.content.address + (block - 1) * blksize
        self._outbox.add_blocks([(target.name_at, len(target.name), header, octets, blksize)])
        self._waiting.append((target, window if window.blocks == 1 else Window(window.content, blksize, block, 1)))

    def _window(self, target: Target, window: Window) -> None:
        blksize = window.blksize
        at = window.content.address + (window.first - 1) * blksize
        pieces: list[int] = []
        for block in range(window.first, window.first + window.blocks):
            pieces += (_HEADERS_AT + (block & 0xFFFF) * HEADER_SIZE, HEADER_SIZE, at, blksize)
            at += blksize
        self._outbox.add(target.name_at, len(target.name), pieces, blksize + HEADER_SIZE)
        self._waiting.append((target, window))

    def _flush(self, sock: socket.socket) -> list[Letter]:
        outbox, waiting, first, left = self._outbox, self._waiting, 0, []
        while first < outbox.count:
            sent = outbox.send(sock, first)
            if sent > 0:
                first += sent
                continue
            if -sent in _FULL:
                left = waiting[first:]
                break
            self._refused(sock, -sent, waiting[first])
            first += 1
        outbox.clear()
        self._waiting, self._kept = [], []
        return left

    def _refused(self, sock: socket.socket, error: int, letter: Letter) -> None:
        """One message was not taken, and is not waited for."""
        target, burst = letter
        if error == errno.EFAULT:
            target.spoilt()
        elif error in _NO_GSO and len(burst) > 1:
            target.segments = False
            self._plain.send(sock, [letter])
