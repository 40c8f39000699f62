"""Many messages at one stroke: all acknowledged, or an error."""

from pathlib import Path

import pytest

from libs.bus import BusUnavailable
from libs.bus.bulk import NotStoredError, Outgoing
from libs.desired import LEASES
from tests.support.running import bus_of, nats_server, settings_in

EVENT = b"kickfleet.events.lab._.lease.offered"


def event(number: int) -> Outgoing:
    return Outgoing(EVENT, (b"Nats-Msg-Id", b"id-%d" % number), b'{"number": %d}' % number)


async def test_all_are_stored_in_order_and_an_id_only_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        await bus.client.publish_all([event(number) for number in range(2000)], 10)
        await bus.client.publish_all([event(number) for number in range(1990, 2010)], 10)
        stored = [message.data async for message in bus.read(1, await bus.last_sequence())]
    assert stored == [b'{"number": %d}' % number for number in range(2010)]


async def test_one_that_no_stream_takes_is_an_error(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        with pytest.raises(NotStoredError):
            await bus.client.publish_all([event(1), Outgoing(b"nobody.listens", None, b"")], 10)
        await bus.client.publish_all([event(2)], 10)  # and the connection goes on


async def test_a_subject_cannot_end_its_line(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        with pytest.raises(ValueError, match="no subject"):
            await bus.client.publish_all([Outgoing(b"a\r\nPUB b 0\r\n", None, b"")], 10)
        with pytest.raises(ValueError, match="key of a document"):
            await bus.put_all(LEASES, {"10.0.0.1 ": {}})


async def test_documents_are_written_and_removed_together(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings) as server, bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        await bus.put_all(LEASES, {f"10.0.0.{number}": {"number": number} for number in range(200)})
        await bus.put_all(LEASES, {f"10.0.0.{number}": None for number in range(1, 200)})
        assert await bus.get_all(LEASES) == {"10.0.0.0": {"number": 0}}
        await server.stop()
        with pytest.raises(BusUnavailable):
            await bus.put_all(LEASES, {"10.0.0.1": {}})
