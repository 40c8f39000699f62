"""Many datagrams in one system call: Linux's recvmmsg and sendmmsg, and the addresses of octets for them.

Python has neither call. Messages are laid out once as the kernel wants them (struct mmsghdr, struct iovec of the
C ABI); for each call only a few numbers are written. What is sent lies where it is: nothing is copied here.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable, Sequence

from services.tftp.memory import address_of

BATCH = 256  # datagrams or windows a call
PIECES = 4096  # parts of datagrams a call
NAME = 32  # octets kept for an address; struct sockaddr_in6 has 28
_HEAD = 4  # octets of a datagram that are looked at by themselves
_REST = 2044

_MESSAGE = struct.Struct("@PIPNPNi0PI0P")  # struct mmsghdr
_PIECE = struct.Struct("@PNPN")  # two struct iovec: a header and its block
_LENGTHS = struct.Struct(f"@{_MESSAGE.size - struct.calcsize('@I0P')}xI0P")
_CMSG = struct.Struct("@NiiH0N")  # struct cmsghdr with one 16 bit number
UDP_SEGMENT = 103  # linux/udp.h
_NAMES = {socket.AF_INET: struct.Struct("16s16x"), socket.AF_INET6: struct.Struct("28s4x")}
_NAME_SIZES = {socket.AF_INET: 16, socket.AF_INET6: 28}
_HEADS = struct.Struct("!HH")

Datagram = tuple[bytes, int, int, int, int]  # sender's raw address, opcode, number, length, place in the batch


class UnsupportedError(Exception):
    """This system has no such calls."""


def raw_address(sock: socket.socket, address: tuple[str, int] | tuple[str, int, int, int]) -> bytes:
    """struct sockaddr_in or sockaddr_in6, as the kernel gives it."""
    family = struct.pack("@H", sock.family)
    if sock.family == socket.AF_INET:
        return family + address[1].to_bytes(2) + socket.inet_aton(address[0]) + bytes(8)
    host = address[0].partition("%")[0]
    scope = address[3] if len(address) == 4 else 0
    return family + address[1].to_bytes(2) + bytes(4) + socket.inet_pton(sock.family, host) + struct.pack("@I", scope)


def address(raw: bytes) -> tuple[str, int] | tuple[str, int, int, int]:
    """What the socket module makes of it."""
    port = int.from_bytes(raw[2:4])
    if len(raw) == _NAME_SIZES[socket.AF_INET]:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, 0, struct.unpack("@I", raw[24:28])[0]


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "sendmmsg") or not hasattr(library, "recvmmsg"):
        raise UnsupportedError
    library.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    library.recvmmsg.argtypes = (*library.sendmmsg.argtypes, ctypes.c_void_p)
    return library


def segmented(size: int) -> bytes:
    """The control message for UDP GSO: the kernel cuts what is sent into datagrams of `size` octets."""
    return _CMSG.pack(struct.calcsize("@NiiH"), socket.IPPROTO_UDP, UDP_SEGMENT, size)


class Receiver:
    """Takes what has arrived, many datagrams a call. Shared by all sockets of a loop."""

    def __init__(self) -> None:
        """Raises UnsupportedError."""
        self._call = _library().recvmmsg
        self._heads = ctypes.create_string_buffer(_HEAD * BATCH)
        self._names = ctypes.create_string_buffer(NAME * BATCH)
        self._rests = ctypes.create_string_buffer(_REST * BATCH)
        self._pieces = ctypes.create_string_buffer(_PIECE.size * BATCH)
        self._messages = ctypes.create_string_buffer(_MESSAGE.size * BATCH)
        heads, names, rests, pieces = map(ctypes.addressof, (self._heads, self._names, self._rests, self._pieces))
        for at in range(BATCH):
            piece = at * _PIECE.size
            _PIECE.pack_into(self._pieces, piece, heads + at * _HEAD, _HEAD, rests + at * _REST, _REST)
            _MESSAGE.pack_into(
                self._messages, at * _MESSAGE.size, names + at * NAME, NAME, pieces + piece, 2, 0, 0, 0, 0
            )
        self._at = ctypes.addressof(self._messages)
        self._views = [memoryview(each).cast("B") for each in (self._names, self._heads, self._messages)]

    def take(self, sock: socket.socket) -> Sequence[Datagram]:
        """At most BATCH datagrams; they are to be used before the next call."""
        count = self._call(sock.fileno(), self._at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            return ()
        names, heads, messages = self._views
        return [
            (name, opcode, number, length, at)
            for at, ((name,), (opcode, number), (length,)) in enumerate(
                zip(
                    _NAMES[sock.family].iter_unpack(names[: NAME * count]),
                    _HEADS.iter_unpack(heads[: _HEAD * count]),
                    _LENGTHS.iter_unpack(messages[: _MESSAGE.size * count]),
                    strict=True,
                )
            )
        ]

    def octets(self, datagram: Datagram) -> bytes:
        """All of a datagram."""
        _, _, _, length, at = datagram
        head = self._heads.raw[at * _HEAD : at * _HEAD + min(length, _HEAD)]
        return head + ctypes.string_at(ctypes.addressof(self._rests) + at * _REST, max(0, length - _HEAD))


class Outbox:
    """Messages on their way out, as the kernel wants them. Shared by all sockets of a loop."""

    def __init__(self) -> None:
        """Raises UnsupportedError."""
        self._call = _library().sendmmsg
        self._pieces = ctypes.create_string_buffer(16 * PIECES)
        self._messages = ctypes.create_string_buffer(_MESSAGE.size * BATCH)
        self._pieces_at = ctypes.addressof(self._pieces)
        self._messages_at = ctypes.addressof(self._messages)
        self._controls: dict[int, tuple[bytes, int, int]] = {0: (b"", 0, 0)}
        self.clear()

    def clear(self) -> None:
        """Forget all messages."""
        self.count = 0
        self._used = 0

    def fits(self, pieces: int) -> bool:
        """Whether one more message of so many parts has room."""
        return self.count < BATCH and self._used + pieces <= PIECES

    def add(self, name_at: int, name_size: int, pieces: list[int], segment: int) -> None:
        """A message: `pieces` are addresses and lengths in turn; `segment` cuts it into datagrams, 0 does not."""
        half = len(pieces) // 2
        struct.pack_into("@" + "PN" * half, self._pieces, self._used * 16, *pieces)
        self._message(name_at, name_size, half, segment)

    def add_blocks(self, blocks: Iterable[tuple[int, int, int, int, int]]) -> None:
        """Messages of a header and a block, as clients in lockstep want them; the caller knows that they fit.

        Each is the client's raw address and its size, the addresses of header and block, and the block's size.
        """
        count, used, message, piece = self.count, self._used, _MESSAGE.pack_into, _PIECE.pack_into
        for name_at, name_size, header_at, block_at, length in blocks:
            piece(self._pieces, used * 16, header_at, _HEAD, block_at, length)
            message(
                self._messages, count * _MESSAGE.size, name_at, name_size, self._pieces_at + used * 16, 2, 0, 0, 0, 0
            )
            count += 1
            used += 2
        self.count, self._used = count, used

    def _message(self, name_at: int, name_size: int, pieces: int, segment: int) -> None:
        control = self._controls.get(segment) or self._control(segment)
        _MESSAGE.pack_into(
            self._messages,
            self.count * _MESSAGE.size,
            name_at,
            name_size,
            self._pieces_at + self._used * 16,
            pieces,
            control[1],
            control[2],
            0,
            0,
        )
        self._used += pieces
        self.count += 1

    def _control(self, segment: int) -> tuple[bytes, int, int]:
        octets = segmented(segment)
        self._controls[segment] = found = (octets, address_of(octets), len(octets))
        return found

    def send(self, sock: socket.socket, first: int = 0) -> int:
        """Send the messages from `first` on; how many left, or a negative errno where not even one did."""
        sent: int = self._call(
            sock.fileno(), self._messages_at + first * _MESSAGE.size, self.count - first, socket.MSG_DONTWAIT
        )
        return sent if sent > 0 else -(ctypes.get_errno() or errno.EAGAIN)
