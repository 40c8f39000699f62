"""What the server refuses, bounds and survives, over real sockets. Timers are set far away: time plays no part."""

import asyncio
import socket
from pathlib import Path

import pytest

from libs.wire.tftp import Ack, Data, Error, ErrorCode, ReadRequest, WriteRequest
from services.tftp import roundtrip
from services.tftp.limits import Limits
from tests.services.tftp.rig import octets, peer, rig
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("patient")


async def test_a_broadcast_request_is_ignored(tmp_path: Path) -> None:
    async with rig(tmp_path, host="0.0.0.0") as served:
        served.write("a", b"x")
        with peer(served) as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            await client.send(ReadRequest("a"), ("127.255.255.255", served.address[1]))
            await until(lambda: served.figure("kickfleet_tftp_datagrams_dropped_total", reason="not_unicast"))
            assert served.figure("kickfleet_tftp_transfers_active") == 0


async def test_escapes_are_refused_without_naming_a_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "loaders-old").mkdir()
    (tmp_path / "loaders-old" / "a").write_bytes(b"secret")
    async with rig(tmp_path) as served:
        served.write("a", b"x")
        (tmp_path / "loaders" / "out").symlink_to(tmp_path / "secret")
        (tmp_path / "loaders" / "sibling").symlink_to(tmp_path / "loaders-old")
        with peer(served) as client:
            for path in ("../secret", "..\\secret", "/../loaders-old/a", "x/../../secret", "out", "sibling/a", ".."):
                assert await client.ask(path) == Error(ErrorCode.ACCESS_VIOLATION, "access refused")
        assert {failed.reason for failed in served.failed} == {"refused"}
        assert served.failed[0].path == "../secret"


async def test_a_write_request_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        with peer(served) as client:
            await client.send(WriteRequest("upload"))
            assert await client.hear() == Error(ErrorCode.ACCESS_VIOLATION, "this server is read-only")
        assert (await served.emitted())[0].data()["reason"] == "refused"


async def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", b"x")
        with peer(served) as client:
            assert await client.ask("a", "mail") == Error(ErrorCode.ILLEGAL_OPERATION, "ask in mode octet or netascii")


async def test_a_file_too_large_for_netascii_is_refused_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tftp.server.LARGEST_TEXT", 100)
    async with rig(tmp_path) as served:
        served.write("a", octets(101))
        with peer(served) as client:
            before = len(list(Path("/proc/self/fd").iterdir()))
            for _ in range(3):
                packet = await client.ask("a", "netascii")
                assert packet == Error(0, "the file is too large for netascii, ask in mode octet")
            assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_nothing_stays_open_behind_transfers(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(5000))
        with peer(served) as client:
            before = len(list(Path("/proc/self/fd").iterdir()))
            await client.fetch("a")
            await client.fetch("a", "netascii")
            await client.ask("a", tsize=0)
            await client.send(Error(8, "enough"))
            await served.idle()
            assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_a_missing_file_is_an_error_and_one_failure(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        with peer(served) as client:
            for _ in range(3):
                assert await client.ask("vmlinuz") == Error(ErrorCode.FILE_NOT_FOUND, "file not found")
        (failed,) = served.failed
        assert (failed.reason, failed.path) == ("missing", "vmlinuz")


@pytest.mark.parametrize(
    "path",
    [
        "pxelinux.cfg/4c4c4544-0000-2010-8020-80c04f202020",
        "pxelinux.cfg/01-52-54-00-00-00-01",
        "pxelinux.cfg/C0A80",
        "/grub/x86_64-efi/command.lst",
        "grub.cfg-01-52-54-00-00-00-01",
        "grub/by-mac/52:54:00:00:00:01.cfg",
        "revocations_sku.efi",
        "shim_certificate_0.efi",
        "autoexec.ipxe",
    ],
)
async def test_an_expected_miss_is_no_failure(tmp_path: Path, path: str) -> None:
    async with rig(tmp_path) as served:
        with peer(served) as client:
            assert await client.ask(path) == Error(ErrorCode.FILE_NOT_FOUND, "file not found")
        assert served.events == []
        assert served.figure("kickfleet_tftp_requests_refused_total", reason="expected") == 1


async def test_silent_clients_make_room_for_others_of_their_address(tmp_path: Path) -> None:
    async with rig(tmp_path, limits=Limits(total=100, per_address=4)) as served:
        content = served.write("a", octets(1000))
        with peer(served) as silent, peer(served) as client:
            for window in range(1, 20):
                await silent.ask("a", windowsize=window, blksize=100 + window)
                with peer(served) as another:
                    await another.ask("a")
            assert served.figure("kickfleet_tftp_transfers_active") == 4
            assert await client.fetch("a") == content
        assert served.failed == []


async def test_transfers_of_one_address_are_bounded(tmp_path: Path) -> None:
    async with rig(tmp_path, host="0.0.0.0", limits=Limits(total=100, per_address=1)) as served:
        content = served.write("a", octets(2000))
        target = ("127.0.0.1", served.address[1])
        with peer(target) as busy, peer(target) as waiting, peer(target, host="127.0.0.9") as other:
            await busy.ask("a")
            await busy.send(Ack(1))
            await busy.hear()
            await waiting.send(ReadRequest("a"))
            await until(lambda: served.figure("kickfleet_tftp_datagrams_dropped_total", reason="busy") == 1)
            assert await other.fetch("a") == content
            for block in (2, 3, 4):
                await busy.send(Ack(block))
                if block < 4:
                    await busy.hear()
            await served.emitted(2)
            assert await waiting.fetch("a") == content


async def test_all_transfers_together_are_bounded(tmp_path: Path) -> None:
    async with rig(tmp_path, host="0.0.0.0", limits=Limits(total=2, per_address=2)) as served:
        content = served.write("a", octets(2000))
        target = ("127.0.0.1", served.address[1])
        with peer(target, "127.0.0.2") as one, peer(target, "127.0.0.3") as two, peer(target, "127.0.0.4") as three:
            await one.ask("a")
            await one.send(Ack(1))
            await one.hear()
            await two.ask("a")
            assert await three.fetch("a") == content
            await one.send(Ack(2))
            assert isinstance(await one.hear(), Data)


async def test_a_flood_of_failures_is_counted_but_not_told_for_ever(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        with peer(served) as client:
            for at in range(60):
                await client.ask(f"missing-{at}")
        assert len(served.failed) < 30
        assert served.figure("kickfleet_tftp_requests_refused_total", reason="missing") == 60
        assert served.figure("kickfleet_tftp_failures_silenced_total") + len(served.failed) == 60


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"\0\1",
        b"\0\1a",
        b"\0\1a\0octet",
        b"\0\1\xff\xfe\0\xff\0blksize\0abc\0",
        b"\0\1" + b"a" * 2000,
        b"\0\1" + b"../" * 300 + b"\0octet\0",
        b"\0\1a\0octet\0" + b"x\0" * 500,
        b"\0\1\0octet\0",
        b"\0\1a/\r\n\x1b[31m\0octet\0",
        b"\0\4\0\1",
        b"\0\3\0\1data",
        b"\0\5\0\1no\0",
        b"\xff\xff\xff\xff",
    ],
)
async def test_hostile_datagrams_are_survived(tmp_path: Path, raw: bytes) -> None:
    async with rig(tmp_path) as served:
        content = served.write("b", octets(100))
        with peer(served) as hostile, peer(served) as client:
            await hostile.send(raw, served.address)
            assert await client.fetch("b") == content
        assert all(letter.isprintable() for event in served.failed for letter in event.path)


async def test_a_file_replaced_under_way_gives_the_old_content(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        old = served.write("a", octets(2_000_000))
        with peer(served) as client, peer(served) as later:
            await client.ask("a")
            served.write("new", b"n" * 2_000_000)
            (tmp_path / "loaders" / "new").replace(tmp_path / "loaders" / "a")
            received = old[:512]
            for block in range(1, 3907):
                await client.send(Ack(block))
                packet = await client.hear()
                assert isinstance(packet, Data)
                received += packet.payload
            assert received == old
            assert await later.fetch("a", blksize=1400) == b"n" * 2_000_000


async def test_a_file_overwritten_under_way_gives_an_error(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(1000))
        with peer(served) as client:
            await client.ask("a")
            with (tmp_path / "loaders" / "a").open("r+b") as file:
                file.write(b"mixed")
            await client.send(Ack(1))
            assert isinstance(await client.hear(), Error)
        (failed,) = await served.emitted()
        assert failed.data()["reason"] == "aborted"
        assert "changed" in failed.data()["detail"]


async def test_a_file_truncated_under_way_gives_an_error(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(900_000))
        with peer(served) as client:
            await client.ask("a")
            served.write("a", b"")
            packet = None
            for block in range(1, 2000):
                await client.send(Ack(block))
                packet = await client.hear()
                if not isinstance(packet, Data):
                    break
            assert isinstance(packet, Error)


async def test_a_client_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tftp.session.GIVE_UP", 0.05)
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(roundtrip, name, 0.02)
    async with rig(tmp_path) as served:
        served.write("a", octets(6000))
        with peer(served) as client:
            await client.ask("a")
            await client.send(Ack(1))
            (failed,) = await served.emitted()
        assert failed.data()["reason"] == "timed_out"
        assert (failed.data()["bytes"], failed.data()["size"]) == (512, 6000)
        await served.idle()


async def test_the_end_of_the_service_is_told_to_clients_and_reported(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(6000))
        with peer(served) as client:
            await client.ask("a")
            served.server.close()
            assert await client.hear() == Error(ErrorCode.UNDEFINED, "the server stops")
        assert served.failed[0].reason == "aborted"


async def test_a_hundred_clients_at_once_get_every_octet(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("images/rocky/vmlinuz", octets(100_000))

        async def machine(at: int) -> bytes:
            with peer(served, host=f"127.0.1.{at + 1}") as client:
                return await client.fetch("images/rocky/vmlinuz", blksize=1408, windowsize=1 + at % 5)

        assert set(await asyncio.gather(*map(machine, range(100)))) == {content}
        await served.emitted(100)
        assert {event.ip for event in served.fetched} == {f"127.0.1.{at + 1}" for at in range(100)}
