"""The rules of the protocol over real sockets, one test a rule. Timers are set far away: time plays no part."""

import contextlib
from pathlib import Path

import pytest

from libs.wire.tftp import Ack, Data, Error, ErrorCode, OptionAck, ReadRequest
from services.tftp import roundtrip
from tests.services.tftp.rig import octets, peer, rig

pytestmark = pytest.mark.usefixtures("patient")


async def test_a_file_arrives_and_is_reported_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("memtest", octets(3000))
        with peer(served) as client:
            assert await client.fetch("memtest") == content
        (event,) = await served.emitted()
        assert (event.TYPE, event.ip, event.mac) == ("file.fetched", "127.0.0.1", None)
        (fetched,) = served.fetched
        assert (fetched.path, fetched.bytes, fetched.retransmits) == ("memtest", 3000, 0)
        assert (fetched.blksize, fetched.windowsize, fetched.protocol) == (512, 1, "tftp")
        assert fetched.seconds > 0


async def test_nothing_is_reported_before_the_last_acknowledgement(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", b"x")
        with peer(served) as client:
            assert await client.ask("a") == Data(1, b"x")
            assert served.events == []
            await client.send(Ack(1))
            assert (await served.emitted())[0].TYPE == "file.fetched"


@pytest.mark.parametrize("size", [0, 512, 1024])
async def test_exact_multiples_and_empty_files_end_with_an_empty_block(tmp_path: Path, size: int) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(size))
        with peer(served) as client:
            assert await client.fetch("a") == content
        await served.emitted()


async def test_blocks_roll_over_from_65535_to_0(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(66000 * 8 + 5))
        with peer(served) as client:
            assert await client.fetch("a", blksize=8, windowsize=64) == content
        await served.emitted()


async def test_a_client_never_gets_the_port_of_a_transfer_before(tmp_path: Path) -> None:
    """Others keep the shared ports open; its own address and port stay the same."""
    async with rig(tmp_path) as served:
        served.write("a", octets(2000))
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                await stack.enter_context(peer(served)).ask("a")
            client, ports = stack.enter_context(peer(served)), set()
            for count in range(1, 13):
                await client.fetch("a")
                await served.emitted(count)
                ports.add(client.transfer)
            assert len(ports) == 12


async def test_each_transfer_has_a_port_of_its_own(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(2000))
        with peer(served) as one, peer(served) as two:
            await one.ask("a")
            await two.ask("a")
            assert len({one.transfer, two.transfer, served.address}) == 3


async def test_the_answer_comes_from_the_address_that_was_asked(tmp_path: Path) -> None:
    async with rig(tmp_path, host="0.0.0.0") as served:
        served.write("a", octets(2000))
        for asked in ("127.0.0.1", "127.44.5.6"):
            with peer((asked, served.address[1])) as client:
                await client.ask("a")
                assert client.transfer[0] == asked
                await client.ask("nothing")
                assert client.transfer == (asked, served.address[1])


async def test_ipv6_is_served_and_ipv4_on_the_same_socket(tmp_path: Path) -> None:
    async with rig(tmp_path, host="::") as served:
        content = served.write("a", octets(2000))
        for asked in ("::1", "127.0.0.1"):
            with peer((asked, served.address[1]), host=asked) as client:
                assert await client.fetch("a", blksize=1000) == content
                assert client.transfer[0] == asked
                assert await client.ask("nothing") == Error(ErrorCode.FILE_NOT_FOUND, "file not found")
        assert [event.ip for event in served.fetched] == ["::1", "127.0.0.1"]


async def test_a_stray_is_told_so_and_the_transfer_goes_on(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(1000))
        with peer(served) as client, peer(served) as stray:
            await client.ask("a")
            await stray.send(Ack(1), client.transfer)
            assert await stray.hear() == Error(ErrorCode.UNKNOWN_TRANSFER_ID, "unknown transfer")
            await client.send(Ack(1))
            assert await client.hear() == Data(2, octets(1000)[512:])
            await client.send(Ack(2))
        await served.emitted()
        assert served.figure("kickfleet_tftp_datagrams_dropped_total", reason="stray") == 1


async def test_an_error_from_a_stray_is_never_answered(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(1000))
        with peer(served) as client, peer(served) as stray:
            await client.ask("a")
            await stray.send(Error(0, "go away"), client.transfer)
            await stray.send(Ack(9), client.transfer)
            assert isinstance(await stray.hear(), Error)
            await client.send(Ack(1))
            await client.hear()
            await client.send(Ack(2))
            await served.emitted()
            with pytest.raises(BlockingIOError):
                stray.sock.recv(100)


async def test_a_duplicate_acknowledgement_never_draws_data_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(3000))
        with peer(served) as client:
            await client.ask("a")
            for block in range(1, 6):
                for _ in range(5):
                    await client.send(Ack(block))
                assert await client.hear() == Data(block + 1, content[block * 512 : (block + 1) * 512])
            await client.send(Ack(6))
            await served.emitted()
            with pytest.raises(BlockingIOError):
                client.sock.recv(1000)
        assert served.fetched[0].retransmits == 0


async def test_a_duplicate_request_is_the_same_transfer(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(1000))
        with peer(served) as client:
            first = await client.ask("a", blksize=600)
            transfer = client.transfer
            assert await client.ask("a", blksize=600) == first
            assert client.transfer == transfer
            await client.send(Ack(0))
            assert isinstance(await client.hear(), Data)
            await client.send(ReadRequest("/a", options={"blksize": "600"}), served.address)
            await client.send(Ack(1))
            assert await client.hear() == Data(2, octets(1000)[600:])
            await client.send(Ack(2))
            await served.emitted()


async def test_a_late_copy_of_a_request_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path) as served:
        served.write("a", b"x")
        with peer(served) as client:
            await client.fetch("a")
            await served.emitted()
            monkeypatch.setattr("services.tftp.session.HALF_OPEN_GIVE_UP", 0.0)
            for name in ("FIRST", "LEAST", "MOST"):
                monkeypatch.setattr(roundtrip, name, 0.01)
            await client.ask("a")
            await served.idle()
        await served.emitted(1)
        assert served.figure("kickfleet_tftp_transfers_total", end="timed_out", kind="file") == 1


async def test_a_request_with_other_options_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(1000))
        with peer(served) as client:
            assert await client.ask("a", tsize=0) == OptionAck({"tsize": "1000"})
            probe = client.transfer
            assert await client.fetch("a", blksize=700) == content
            assert client.transfer != probe
        await served.emitted(1)


async def test_bad_options_are_left_out_and_the_transfer_goes_on(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(1000))
        with peer(served) as client:
            packet = await client.ask("a", blksize="abc", windowsize=0, timeout=256, tsize="-1", blksize2=9, rollover=0)
            assert packet == Data(1, content[:512])
            packet = await client.ask("a", blksize=1, windowsize=2)
            assert packet == OptionAck({"windowsize": "2"})


async def test_options_and_modes_are_understood_in_any_case(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(1000))
        with peer(served) as client:
            packet = await client.ask("a", "OCTET", BlkSize=600, TSIZE=0)
            assert packet == OptionAck({"BlkSize": "600", "TSIZE": "1000"})


async def test_a_block_never_exceeds_what_the_interface_carries(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(200000))
        with peer(served) as client:
            packet = await client.ask("a", blksize=65464)
            mtu = int(Path("/sys/class/net/lo/mtu").read_text())
            assert packet == OptionAck({"blksize": str(min(65464, min(mtu, 65535) - 32))})


async def test_a_size_probe_is_no_failure(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        content = served.write("a", octets(1000))
        with peer(served) as client:
            assert await client.ask("a", tsize=0, blksize=1468) == OptionAck({"tsize": "1000", "blksize": "1468"})
            await client.send(Error(8, "User aborted the transfer"))
            await served.idle()
            assert served.events == []
            assert await client.fetch("a", blksize=1468) == content
        await served.emitted()
        assert served.figure("kickfleet_tftp_transfers_total", end="probed", kind="file") == 1


async def test_an_abort_says_how_far_it_came(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(5000))
        with peer(served) as client:
            await client.ask("a")
            await client.send(Ack(1))
            await client.hear()
            await client.send(Error(3, "no space"))
            await served.emitted()
        (failed,) = served.failed
        assert (failed.reason, failed.bytes, failed.size, failed.block) == ("aborted", 512, 5000, 1)
        assert "no space" in failed.detail


async def test_padded_datagrams_are_understood(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(600))
        with peer(served) as client:
            await client.send(ReadRequest("a").encode() + bytes(46))
            assert isinstance(await client.hear(), Data)
            await client.send(Ack(1).encode() + bytes(42))
            assert await client.hear() == Data(2, octets(600)[512:])
            await client.send(Ack(2).encode() + b"\xff\xff")
            await served.emitted()


@pytest.mark.parametrize("spelled", ["x/a.img", "/x/a.img", "//x//a.img", "\\x\\a.img", "x/./a.img", "/./x\\a.img"])
async def test_backslashes_and_leading_slashes_make_no_difference(tmp_path: Path, spelled: str) -> None:
    async with rig(tmp_path) as served:
        content = served.write("x/a.img", b"image")
        with peer(served) as client:
            assert await client.fetch(spelled) == content
        assert (await served.emitted())[0].data()["path"] == "x/a.img"


async def test_netascii_is_converted_and_its_size_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", b"one\ntwo\r\n")
        with peer(served) as client:
            assert await client.ask("a", "netascii", tsize=0) == OptionAck({"tsize": "12"})
        with peer(served) as client:
            assert await client.fetch("a", "NetASCII") == b"one\r\ntwo\r\0\r\n"


async def test_only_the_first_packet_is_sent_until_the_first_acknowledgement(tmp_path: Path) -> None:
    async with rig(tmp_path) as served:
        served.write("a", octets(90000))
        with peer(served) as client:
            assert isinstance(await client.ask("a", windowsize=16), OptionAck)
            for early in (Ack(5), Ack(16), b"\0\4"):
                await client.send(early)
            await client.send(Ack(0))
            assert [await client.hear() for _ in range(16)] == [
                Data(block, octets(90000)[(block - 1) * 512 : block * 512]) for block in range(1, 17)
            ]


async def test_lost_packets_are_sent_again_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("FIRST", 0.05), ("LEAST", 0.05), ("MOST", 5.0)):
        monkeypatch.setattr(roundtrip, name, seconds)
    async with rig(tmp_path) as served:
        content = served.write("a", octets(600))
        with peer(served) as client:
            first = await client.ask("a")
            assert await client.hear() == first
            await client.send(Ack(1))
            second = await client.hear()
            while second == first:
                second = await client.hear()
            assert await client.hear() == second == Data(2, content[512:])
            await client.send(Ack(2))
            (event,) = await served.emitted()
        assert event.data()["retransmits"] >= 2
