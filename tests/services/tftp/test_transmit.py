"""The three ways in which datagrams leave, on real sockets: every octet, whatever the kernel refuses."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from services.tftp.content import Content, TextContent, Window
from services.tftp.files import Library
from services.tftp.memory import address_of
from services.tftp.native import BATCH, Outbox, raw_address
from services.tftp.transmit import Address, Batched, Letter, Plain, Segmented, Way, in_pieces
from tests.services.tftp.rig import octets, peer, rig

SO_NO_CHECK = 11  # asm-generic/socket.h; without checksums the kernel refuses GSO with EIO
WAYS: dict[str, Callable[[], Way]] = {"sendmmsg": lambda: Batched(Outbox()), "sendmsg": Segmented, "plain": Plain}


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[str(request.param)]()


class Receiver:
    """A client's socket as a target."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.client: Address = self.sock.getsockname()
        self.name = raw_address(self.sock, self.client)
        self.name_at = address_of(self.name)
        self.segments = True
        self.spoilings = 0

    def spoilt(self) -> None:
        self.spoilings += 1

    def close(self) -> None:
        self.sock.close()

    def heard(self) -> list[bytes]:
        """Loopback delivers within the call that sends."""
        found = []
        self.sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                found.append(self.sock.recv(70000))
        return found


@contextmanager
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", 0))
        yield sock


def contents(folder: Path) -> list[Content]:
    (folder / "a").write_bytes(octets(200_000))
    return [TextContent(octets(200_000)), Library().open_below(folder, "a")]


@pytest.mark.parametrize("blksize", [8, 512, 1468, 16000])
@pytest.mark.parametrize("blocks", [1, 2, 12])
def test_every_block_leaves_as_it_is(tmp_path: Path, way: Way, blksize: int, blocks: int) -> None:
    for content in contents(tmp_path):
        window = Window(content, blksize, 65530 if blksize == 8 else 1, min(blocks, 200_000 // blksize))
        if blksize == 8:
            window = Window(content, blksize, 20000, blocks)
        with closing(Receiver()) as receiver, sender() as sock:
            assert way.send(sock, [(receiver, window), (receiver, (b"word", b""))]) == []
            assert receiver.heard() == [*window, b"word", b""]


def test_more_letters_than_a_call_takes_all_leave(tmp_path: Path, way: Way) -> None:
    content = contents(tmp_path)[1]
    with closing(Receiver()) as one, closing(Receiver()) as two, sender() as sock:
        letters: list[Letter] = []
        for block in range(1, 2 * BATCH):
            letters += [(one, Window(content, 16, block, 1)), (two, Window(content, 16, block, 3))]
        assert way.send(sock, letters) == []
        assert one.heard() == [octet for target, burst in letters if target is one for octet in burst]
        assert two.heard() == [octet for target, burst in letters if target is two for octet in burst]


def test_where_the_kernel_refuses_to_cut_blocks_leave_one_by_one(tmp_path: Path, way: Way) -> None:
    content = contents(tmp_path)[1]
    with closing(Receiver()) as receiver, sender() as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        for _ in range(2):
            window = Window(content, 1000, 1, 16)
            assert way.send(sock, [(receiver, window)]) == []
            assert receiver.heard() == list(window)
        assert receiver.segments is isinstance(way, Plain)


def test_a_file_that_was_cut_off_spoils_its_transfer_and_no_other(tmp_path: Path, way: Way) -> None:
    text, cut = contents(tmp_path)
    with closing(Receiver()) as victim, closing(Receiver()) as other, sender() as sock:
        (tmp_path / "a").write_bytes(b"")
        letters: list[Letter] = [(victim, Window(cut, 1000, 50, 4)), (other, Window(text, 1000, 50, 4))]
        assert way.send(sock, letters) == []
        assert (victim.spoilings, victim.heard()) == (1, [])
        assert (other.spoilings, len(other.heard())) == (0, 4)


def test_what_a_full_buffer_does_not_take_is_given_back(tmp_path: Path, way: Way) -> None:
    """A send buffer of the least size takes a few datagrams that nobody fetches."""
    content = contents(tmp_path)[1]
    with closing(Receiver()) as receiver, sender() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        letters: list[Letter] = [(receiver, Window(content, 1000, block, 1)) for block in range(1, 50)]
        left = way.send(sock, letters)
        heard = receiver.heard()
        while left:
            left = way.send(sock, left)
            heard += receiver.heard()
        assert heard == [datagram for _, burst in letters for datagram in burst]


def test_a_window_is_cut_where_the_kernel_takes_no_more() -> None:
    content = TextContent(octets(10))
    assert [(piece.first, piece.blocks) for piece in in_pieces(Window(content, 1468, 1, 64))] == [(1, 44), (45, 20)]
    assert [(piece.first, piece.blocks) for piece in in_pieces(Window(content, 8, 5, 300))] == [
        (5, 128),
        (133, 128),
        (261, 44),
    ]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("windowsize", [1, 5, 64])
async def test_many_clients_at_once_by_each_way(tmp_path: Path, way: Way, windowsize: int) -> None:
    async with rig(tmp_path, way=way) as served:
        content = served.write("a", octets(150_000))

        async def fetch() -> bytes:
            with peer(served) as client:
                return await client.fetch("a", blksize=1408, windowsize=windowsize)

        assert await asyncio.gather(*(fetch() for _ in range(24))) == [content] * 24
        await served.emitted(24)
        assert sum(event.retransmits for event in served.fetched) == 0
