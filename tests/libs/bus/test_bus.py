"""The bus as the services use it: a real server, killed and started again."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from libs.bus import Bus, BusUnavailable, EmbeddedServer, Publisher, Record, Spool
from libs.bus.spool import KEEP, SEGMENT_BYTES
from libs.desired import MACHINES
from libs.events import LeaseOffered, decode
from tests.support.running import bus_of, nats_server, recorder, settings_in
from tests.support.waiting import until

LOG = structlog.get_logger()


def _publisher(bus: Bus, folder: Path) -> Publisher:
    return Publisher(bus, folder, site="lab", service="test", log=LOG)


async def _kill(server: EmbeddedServer) -> None:
    assert server.process
    server.process.kill()
    await server.process.wait()


async def test_events_wait_in_the_spool_while_the_bus_is_away(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with bus_of(settings) as bus:
        publisher = _publisher(bus, tmp_path / "spool")
        events = [LeaseOffered(mac="52:54:00:00:00:01", subnet=f"s{n}") for n in range(1000)]
        for event in events:
            publisher.emit(event)
        running = asyncio.create_task(publisher.run())
        async with nats_server(settings), recorder(settings) as tape:
            await until(lambda: len(tape.messages) == 1000, "all events are published")
            assert tape.events == events
            assert tape.messages[0].subject == "kickfleet.events.lab.52-54-00-00-00-01.lease.offered"
        running.cancel()


async def test_events_survive_the_death_of_the_service_and_of_the_server_and_come_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings) as server, recorder(settings) as tape, bus_of(settings) as bus:
        first = _publisher(bus, tmp_path / "spool")
        running = asyncio.create_task(first.run())
        events = [LeaseOffered(subnet=f"s{n}") for n in range(300)]
        for event in events[:200]:
            first.emit(event)
        await until(lambda: len(tape.messages) == 200)
        running.cancel()
        await _kill(server)
        for event in events[200:]:
            first.emit(event)
        second = _publisher(bus, tmp_path / "spool")  # the first is gone without a word, as after kill -9
        running = asyncio.create_task(second.run())
        await server.start()
        await until(lambda: len({m.seq for m in tape.messages}) == 300, "the events that waited are published")
        await until(lambda: second.drained)
        # The server forgot what the reader had acknowledged, so that it reads some again: the stream has each once.
        stored = {message.seq: decode(message.data).id for message in tape.messages}
        assert list(stored.values()) == [event.id for event in events]
        running.cancel()


async def test_an_event_reaches_a_reader_at_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), recorder(settings) as tape, bus_of(settings) as bus:
        publisher = _publisher(bus, tmp_path / "spool")
        running = asyncio.create_task(publisher.run())
        await bus.wait_connected(10)
        publisher.emit(LeaseOffered(subnet="warm"))
        await until(lambda: len(tape.messages) == 1)
        began = time.monotonic()
        for number in range(2, 22):
            publisher.emit(LeaseOffered(subnet="x"))
            await until(lambda number=number: len(tape.messages) == number)  # type: ignore[misc]
        # A reader that waited for a full batch would take seconds for each.
        assert time.monotonic() - began < 10
        running.cancel()


async def test_a_batch_whose_handler_failed_is_delivered_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    seen: list[int] = []

    async def fail_once(messages: list[Any]) -> None:
        seen.extend(message.seq for message in messages)
        if len(seen) == 1:
            raise OSError("the database is away")

    async with nats_server(settings), bus_of(settings) as bus:
        publisher = _publisher(bus, tmp_path / "spool")
        tasks = [asyncio.create_task(publisher.run()), asyncio.create_task(bus.consume("test", fail_once))]
        publisher.emit(LeaseOffered(subnet="x"))
        await until(lambda: seen == [1, 1], "the event comes twice")
        for task in tasks:
            task.cancel()


async def test_what_a_reader_that_died_had_not_acknowledged_comes_at_once_and_in_order(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    taken: list[int] = []
    seen: list[int] = []

    async def die(messages: list[Any]) -> None:
        taken.extend(message.seq for message in messages)
        await asyncio.Event().wait()

    async def read(messages: list[Any]) -> None:
        seen.extend(message.seq for message in messages)

    async with nats_server(settings), bus_of(settings) as bus:
        publisher = _publisher(bus, tmp_path / "spool")
        publishing = asyncio.create_task(publisher.run())
        async with bus_of(settings, "first") as first:
            dying = asyncio.create_task(first.consume("test", die))
            for _ in range(5):
                publisher.emit(LeaseOffered(subnet="x"))
            await until(lambda: taken, "the first reader has some")
            dying.cancel()
        for _ in range(5):
            publisher.emit(LeaseOffered(subnet="x"))
        reading = asyncio.create_task(bus.consume("test", read))
        await until(lambda: len(seen) == 10, "all have come", timeout=10)
        assert seen == list(range(1, 11))
        for task in (publishing, reading):
            task.cancel()


async def test_a_replica_follows_writes_and_deletions_and_survives_the_server(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    told: dict[str, Any] = {}
    async with nats_server(settings) as server, bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        await bus.put(MACHINES, "node01", {"a": 1})
        await bus.put(MACHINES, "node02", {"a": 2})
        replica = bus.replica(MACHINES, tmp_path / "replica.db", told.__setitem__)
        await replica.start()
        assert await replica.wait_synced(10)
        assert told == {"node01": {"a": 1}, "node02": {"a": 2}}
        await bus.delete(MACHINES, "node01")
        await until(lambda: told["node01"] is None)
        await _kill(server)
        await until(lambda: not bus.connected)
        with pytest.raises(BusUnavailable):
            await bus.put(MACHINES, "node03", {"a": 3})
        await server.start()
        await bus.wait_connected(10)
        async with bus_of(settings, "other") as other:
            await other.wait_connected(10)
            await other.put(MACHINES, "node03", {"a": 3})
        await until(lambda: told.get("node03") == {"a": 3}, "the replica follows again")
        await replica.stop()

        again: dict[str, Any] = {}
        kept = bus.replica(MACHINES, tmp_path / "replica.db", again.__setitem__)
        assert again == {"node02": {"a": 2}, "node03": {"a": 3}}
        await kept.stop()


async def test_what_was_deleted_while_a_replica_was_away_is_gone_from_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        await bus.put(MACHINES, "node01", {"a": 1})
        first = bus.replica(MACHINES, tmp_path / "replica.db", lambda *_: None)
        await first.start()
        await first.wait_synced(10)
        await first.stop()
        await (await bus.bucket(MACHINES)).purge("node01")
        told: dict[str, Any] = {}
        second = bus.replica(MACHINES, tmp_path / "replica.db", told.__setitem__)
        await second.start()
        await until(lambda: told == {"node01": None}, "the key is gone")
        await second.stop()


async def test_a_writer_keeps_at_it_and_only_the_latest_value_counts(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with bus_of(settings) as bus:
        writer = bus.writer(MACHINES)
        running = asyncio.create_task(writer.run())
        writer.set("node01", {"a": 1})
        writer.set("node01", {"a": 2})
        writer.set("node02", {"a": 9})
        writer.set("node02", None)
        assert not await writer.flush(0)
        async with nats_server(settings):
            assert await writer.flush(20)
            assert await bus.get_all(MACHINES) == {"node01": {"a": 2}}
            assert await bus.keys(MACHINES) == ["node01"]
        running.cancel()


async def test_a_question_is_answered_also_after_the_server_came_back(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)

    async def double(question: dict[str, Any]) -> dict[str, Any]:
        return {"twice": question["n"] * 2}

    async with nats_server(settings) as server, bus_of(settings) as asked, bus_of(settings, "b") as asking:
        await asked.respond("kickfleet.rpc.test", double)
        await asking.wait_connected(10)
        await asked.wait_connected(10)
        assert await asking.request("kickfleet.rpc.test", {"n": 21}, 5) == {"twice": 42}
        await _kill(server)
        await until(lambda: not asking.connected and not asked.connected)
        with pytest.raises(BusUnavailable):
            await asking.request("kickfleet.rpc.test", {"n": 21}, 5)
        await server.start()
        await asked.wait_connected(10)
        await asking.wait_connected(10)
        assert await asking.request("kickfleet.rpc.test", {"n": 4}, 5) == {"twice": 8}


# --- the spool alone ----------------------------------------------------------------------------------------


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _records(count: int, size: int = 10) -> list[Record]:
    return [Record("subject", f"id{number}", b"x" * size) for number in range(count)]


def test_the_spool_deletes_a_segment_only_some_time_after_its_acknowledgement(tmp_path: Path) -> None:
    clock = _Clock()
    spool = Spool(tmp_path, clock)
    for record in _records(5):
        spool.append(record)
    records, position = spool.read(spool.start(), 100)
    assert records == _records(5)
    spool.acknowledge(position)
    clock.now += KEEP - 1
    spool.tidy()
    assert spool.read(spool.start(), 100)[0] == records
    clock.now += 1
    spool.tidy()
    assert spool.read(spool.start(), 100)[0] == []
    assert spool.size == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_the_spool_keeps_order_over_many_segments_and_restarts(tmp_path: Path) -> None:
    clock = _Clock()
    big = _records(7, SEGMENT_BYTES // 3)
    first = Spool(tmp_path, clock)
    for record in big[:5]:
        first.append(record)
    second = Spool(tmp_path, clock)
    for record in big[5:]:
        second.append(record)
    position, found = second.start(), []
    while (batch := second.read(position, 2))[0]:
        found += batch[0]
        position = batch[1]
    assert found == big


def test_a_torn_record_is_passed_over(tmp_path: Path) -> None:
    first = Spool(tmp_path, _Clock())
    first.append(_records(1)[0])
    with next(iter(sorted(tmp_path.glob("*.log")))).open("ab") as file:
        file.write(b"subject\tid9\t{half a rec")
    second = Spool(tmp_path, _Clock())
    second.append(Record("subject", "id1", b"y"))
    assert [record.id for record in second.read(second.start(), 10)[0]] == ["id0", "id1"]
