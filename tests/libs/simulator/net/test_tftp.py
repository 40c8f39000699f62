import asyncio
import hashlib
import threading
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest
import tftpy
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.simulator.errors import TransferError
from libs.simulator.net.download import Sink
from libs.simulator.net.link import Link
from libs.simulator.net.tftp import TftpClient
from libs.simulator.net.tftp_receiver import EDK2, GRUB, PXE_ROM, PXELINUX, SHIM, Habit, Receiver
from libs.simulator.options import Timing
from libs.wire.tftp import Ack, Data, Error, OptionAck, decode
from tests.libs.simulator.small_tftp import small_tftp

SERVER = IPv4Address("127.0.0.1")
QUICK = Timing(pace=0.05)


def client(port: int, loss: float = 0.0, seed: int = 0, timing: Timing = QUICK) -> TftpClient:
    return TftpClient(IPv4Address("127.88.1.1"), Link(loss, Random(seed)), timing, port)


@pytest.mark.parametrize("habit", [PXE_ROM, EDK2, SHIM, GRUB, PXELINUX, Habit(tsize=False)])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 1024, 1468, 5872, 100_000])
async def test_a_file_arrives_whole_by_every_habit(habit: Habit, size: int) -> None:
    content = Random(size).randbytes(size)
    async with small_tftp({"file": content}) as server:
        got = await client(server.port).fetch(SERVER, "file", habit, keep=200_000)
    assert (got.content, got.size, got.sha256) == (content, size, hashlib.sha256(content).hexdigest())
    assert server.transfers[0].client == "127.88.1.1"


async def test_firmware_asks_for_the_size_first_and_breaks_that_off() -> None:
    async with small_tftp({"shimx64.efi": bytes(9000)}) as server:
        await client(server.port).fetch(SERVER, "shimx64.efi", EDK2)
        await server.settled()
        first, second = server.transfers
    assert (first.options, first.outcome) == ({"tsize": "0", "blksize": "1468", "windowsize": "4"}, "error 8")
    assert (second.options, second.outcome) == ({"blksize": "1468", "windowsize": "4"}, "whole")


async def test_block_numbers_roll_over() -> None:
    content = Random(1).randbytes(70_000 * 8 + 3)
    async with small_tftp({"large": content}) as server:
        got = await client(server.port).fetch(SERVER, "large", Habit(blksize=8, windowsize=64))
    assert got.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("habit", [GRUB, EDK2])
async def test_lost_datagrams_are_made_good(habit: Habit) -> None:
    content = Random(2).randbytes(60_000)
    async with small_tftp({"file": content}) as server:
        got = await client(server.port, loss=0.15, seed=3).fetch(SERVER, "file", habit)
    assert got.sha256 == hashlib.sha256(content).hexdigest()
    assert got.retransmits > 0


@pytest.mark.parametrize(
    ("path", "kind"), [("missing", "missing"), ("zero\0octet", "broken"), ("x" * 70_000, "broken")]
)
async def test_what_cannot_be_had_is_said(path: str, kind: str) -> None:
    async with small_tftp({}) as server:
        with pytest.raises(TransferError) as caught:
            await client(server.port).fetch(SERVER, path, GRUB)
    assert caught.value.kind == kind


async def test_a_silent_server_is_given_up() -> None:
    async with small_tftp({"file": b"x"}) as server:
        server.deaf = True
        with pytest.raises(TransferError, match="does not answer") as caught:
            await client(server.port, timing=Timing(pace=0.01)).fetch(SERVER, "file", GRUB)
    assert caught.value.kind == "timed_out"


async def test_an_address_that_this_host_has_not_is_named() -> None:
    foreign = TftpClient(IPv4Address("192.0.2.7"), Link(), QUICK, 69)
    with pytest.raises(TransferError, match=r"this host cannot use 192\.0\.2\.7"):
        await foreign.fetch(SERVER, "file", GRUB)


async def test_a_transfer_is_broken_off_where_it_was_told() -> None:
    async with small_tftp({"kernel": bytes(100_000)}) as server:
        with pytest.raises(TransferError, match="broken off after 5") as caught:
            await client(server.port).fetch(SERVER, "kernel", GRUB, abort_at=50)
        await server.settled()
    assert caught.value.kind == "aborted"
    assert server.transfers[0].outcome == "error 0"


async def test_more_than_can_be_read_is_refused() -> None:
    async with small_tftp({"config": bytes(5000)}) as server:
        with pytest.raises(TransferError, match="too large to be read"):
            await client(server.port).fetch(SERVER, "config", GRUB, keep=4999)


@pytest.mark.parametrize("grant", [{"blksize": "2048"}, {"blksize": "0"}, {"windowsize": "8"}, {"blksize": "abc"}])
async def test_a_grant_beyond_the_request_ends_the_transfer_with_error_8(grant: dict[str, str]) -> None:
    async with small_tftp({"file": bytes(9000)}) as server:
        server.grants = grant
        with pytest.raises(TransferError, match="the server grants"):
            await client(server.port).fetch(SERVER, "file", SHIM)
        await server.settled()
    assert server.transfers[0].outcome == "error 8"


async def test_against_tftpy(tmp_path: Path) -> None:
    """An independent server: stop and wait with blksize and tsize."""
    content = Random(4).randbytes(50_000)
    (tmp_path / "file").write_bytes(content)
    server = tftpy.TftpServer(str(tmp_path))
    thread = threading.Thread(target=server.listen, args=("127.0.0.1", 0), kwargs={"timeout": 1})
    thread.start()
    try:
        await asyncio.to_thread(server.is_running.wait)
        got = await client(server.listenport, timing=Timing()).fetch(SERVER, "file", PXELINUX)
    finally:
        server.stop(now=True)
        thread.join()
    assert (got.sha256, got.blksize, got.total) == (hashlib.sha256(content).hexdigest(), 1408, 50_000)


def receiver(habit: Habit = SHIM) -> Receiver:
    return Receiver(habit, Sink("file", 10_000))


def test_a_gap_is_answered_once_with_the_last_block_in_order() -> None:
    under_test = receiver()
    under_test.take(OptionAck({"blksize": "512", "windowsize": "4"}).encode())
    assert under_test.take(Data(1, bytes(512)).encode()) is None
    assert under_test.take(Data(3, bytes(512)).encode()) == Ack(1).encode()
    assert under_test.take(Data(4, bytes(512)).encode()) is None
    assert [under_test.take(Data(block, bytes(512)).encode()) for block in (2, 3, 4)] == [None] * 3
    assert under_test.take(Data(5, b"end").encode()) == Ack(5).encode()
    assert under_test.finished


def test_a_window_that_comes_again_is_acknowledged_again() -> None:
    under_test = receiver(GRUB)
    under_test.take(Data(1, bytes(512)).encode())
    assert under_test.take(Data(1, bytes(512)).encode()) == Ack(1).encode()
    assert under_test.sink.size == 512


_BLOCKS = st.builds(lambda block, payload: Data(block, payload).encode(), st.integers(0, 9), st.binary(max_size=9))


@settings(max_examples=200)
@given(st.lists(st.one_of(st.binary(max_size=40), _BLOCKS)))
def test_whatever_comes_it_raises_its_own_error_or_none(datagrams: list[bytes]) -> None:
    under_test = receiver(Habit(blksize=8, windowsize=2))
    for datagram in datagrams:
        try:
            answer = under_test.take(datagram)
        except TransferError:
            return
        if answer is not None:
            assert isinstance(decode(answer), Ack | Error)
