"""Events over HTTP: history in parts, and a live stream that resumes without a gap."""

import asyncio
import base64
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import Publisher
from libs.events import FileFetched, InstallProgress, MachineUnknown
from services.inventory.chronicle import Effects
from services.inventory.hub import MOST_WAITING, Hub, TooManyListeners
from services.inventory.repository.events import Entry
from tests.services.inventory.support import START, api_of, fleet, inventory_of, journey, mac_of, teller
from tests.support.running import nats_server, settings_in
from tests.support.waiting import until

Served = tuple[httpx.AsyncClient, Publisher]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """An inventory with a small fleet on a real bus, and somebody who tells events."""
    settings = settings_in(tmp_path)
    async with nats_server(settings), inventory_of(settings) as api, teller(settings, tmp_path) as tell:
        (await api.post("/v1/apply", json=fleet(2))).raise_for_status()
        yield api, tell


async def stored(api: httpx.AsyncClient, count: int, **params: Any) -> list[dict[str, Any]]:
    """Wait until the history holds so many events."""

    async def look() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await api.get("/v1/events", params={"limit": 1000, **params})).json()["items"]
        return items if len(items) >= count else None

    found: list[dict[str, Any]] | None = await until(look, f"{count} events")
    assert found
    return found


@asynccontextmanager
async def live(api: httpx.AsyncClient, last: int | None = None, **params: Any) -> AsyncIterator[AsyncIterator[Any]]:
    """A live stream: (id, event) as they come. It is certain to be open when this is entered."""
    headers = {"accept": "text/event-stream", **({"last-event-id": str(last)} if last is not None else {})}
    async with api.stream("GET", "/v1/events", headers=headers, params=params) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":")

        async def events() -> AsyncIterator[tuple[int, dict[str, Any]]]:
            number = 0
            async for line in lines:
                if line.startswith("id: "):
                    number = int(line[4:])
                elif line.startswith("data: "):
                    yield number, json.loads(line[6:])

        yield events()


async def take(stream: AsyncIterator[Any], count: int) -> list[tuple[int, dict[str, Any]]]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


async def test_history_is_read_in_parts_filtered_and_from_either_end(served: Served) -> None:
    api, tell = served
    for number in range(20):
        tell.emit(FileFetched(path=f"f{number}", mac=mac_of(1), time=START + timedelta(minutes=number)))
    tell.emit(MachineUnknown(subnet="rack1", mac=mac_of(9), time=START))
    found = await stored(api, 21, type="file.fetched,machine.unknown")
    assert [event["sequence"] for event in found] == sorted(event["sequence"] for event in found)
    assert found[0]["data"]["machine"] == "node01"
    assert found[0]["specversion"] == "1.0"

    async def paths(**params: Any) -> list[str]:
        answer = (await api.get("/v1/events", params={"type": "file.*", **params})).raise_for_status()
        return [event["data"]["path"] for event in answer.json()["items"]]

    assert await paths(since="2026-03-01T12:18:00Z") == ["f18", "f19"]
    assert await paths(since="2026-03-01T12:18:00+00:00", until="2026-03-01T12:19:00Z") == ["f18"]
    assert await paths(order="desc", limit=2) == ["f19", "f18"]
    assert await paths(machine="node02") == []
    assert await paths(since="5m") == []
    for order in ("asc", "desc"):
        seen: list[str] = []
        params: dict[str, Any] = {"type": "file.fetched", "limit": 6, "order": order}
        while True:
            page = (await api.get("/v1/events", params=params)).json()
            seen += [event["data"]["path"] for event in page["items"]]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
        wanted = [f"f{number}" for number in range(20)]
        assert seen == (wanted if order == "asc" else wanted[::-1])
    problem = await api.get("/v1/events", params={"since": "yesterday"})
    assert (problem.status_code, problem.json()["errors"][0]["field"]) == (422, "since")


async def test_the_stream_is_live(served: Served) -> None:
    api, tell = served
    async with live(api, type="file.fetched") as stream:
        for number in range(20):
            tell.emit(FileFetched(path=str(number), mac=mac_of(2)))
            ((_, event),) = await take(stream, 1)
            assert event["data"]["path"] == str(number)
            assert event["data"]["machine"] == "node02"


async def test_a_stream_resumes_without_a_gap_and_without_a_repetition(served: Served) -> None:
    api, tell = served
    tell.emit(FileFetched(path="0"))
    (first,) = await stored(api, 1, type="file.fetched")
    seen: list[str] = []
    last = first["sequence"] - 1

    async def tell_slowly() -> None:
        for number in range(1, 200):
            tell.emit(FileFetched(path=str(number)))
            await asyncio.sleep(0)

    telling = asyncio.create_task(tell_slowly())
    while len(seen) < 200:
        async with live(api, last, type="file.fetched") as stream:
            part = await take(stream, min(25, 200 - len(seen)))
        seen += [event["data"]["path"] for _, event in part]
        last = part[-1][0]
    await telling
    assert seen == [str(number) for number in range(200)]


async def test_a_stream_begins_in_the_past_and_goes_on(served: Served) -> None:
    api, tell = served
    for number in range(3):
        tell.emit(FileFetched(path=str(number), time=START + timedelta(hours=number)))
    await stored(api, 3, type="file.fetched")
    async with live(api, since="2026-03-01T13:00:00Z", type="file.fetched") as stream:
        assert [event["data"]["path"] for _, event in await take(stream, 2)] == ["1", "2"]
        tell.emit(FileFetched(path="3"))
        assert [event["data"]["path"] for _, event in await take(stream, 1)] == ["3"]


async def test_one_install_is_followed(served: Served) -> None:
    api, tell = served
    orders = (await api.post("/v1/installs", json={"machines": ["node01", "node02"]})).json()["items"]
    async with live(api, install=orders[0]["id"], since="1h", type="state.changed") as stream:
        for number in (1, 2):
            at = START.now(START.tzinfo)
            for event in list(journey(number, at, install_id=orders[number - 1]["id"], step=0.01))[:5]:
                tell.emit(event)
        found = [event["data"]["after"] for _, event in await take(stream, 5)]
    assert found == ["offered", "leased", "bootloader", "configured", "kernel"]


async def test_a_stream_that_was_lost_goes_on_behind_what_is_known(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings) as server, inventory_of(settings) as api:
        async with teller(settings, tmp_path) as tell:
            for number in range(5):
                tell.emit(FileFetched(path=str(number)))
            last = (await stored(api, 5))[-1]["sequence"]
        await server.stop()
        shutil.rmtree(settings.data / "nats" / "jetstream")
        await server.start()
        async with live(api, last) as stream, teller(settings, tmp_path / "other") as tell:
            tell.emit(FileFetched(path="after"))
            ((place, event),) = await take(stream, 1)
        assert event["data"]["path"] == "after"
        assert place > last
        assert [e["data"]["path"] for e in await stored(api, 6)] == ["0", "1", "2", "3", "4", "after"]


async def test_what_cannot_be_resumed_is_refused(served: Served) -> None:
    api, _ = served
    for last in ("x", "9" * 30, "-1"):
        answer = await api.get("/v1/events", headers={"accept": "text/event-stream", "last-event-id": last})
        assert answer.status_code == 422
    huge = base64.urlsafe_b64encode(b"[99999999999999999999999]").decode()
    for params in ({"cursor": huge}, {"since": "0001-01-01T00:00:00+23:59"}, {"until": "9999-12-31T23:59:59-23:59"}):
        assert (await api.get("/v1/events", params=params)).status_code == 422
    assert (await api.get("/v1/events", headers={"authorization": ""})).status_code == 401


async def test_streams_end_when_the_service_stops(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with contextlib.AsyncExitStack() as running:
        await running.enter_async_context(inventory_of(settings))
        async with api_of(settings) as api, live(api) as stream:
            ending = asyncio.create_task(running.aclose())
            assert [event async for event in stream] == []
            await ending


def entry(number: int) -> Entry:
    return Entry(InstallProgress(phase=str(number)), "{}", seq=number)


async def test_a_listener_that_lags_is_let_go_and_others_are_not() -> None:
    hub = Hub()
    with hub.subscribed() as slow, hub.subscribed() as quick:
        reader = quick.entries(10)
        for number in range(1, MOST_WAITING + 2):
            hub.follow(Effects(stored=[entry(number)]))
            found = await anext(reader)
            assert found
            assert found.seq == number
        assert [e.seq for e in [e async for e in slow.entries(10)] if e] == list(range(1, MOST_WAITING + 1))


async def test_listeners_are_bounded_and_a_silence_is_told() -> None:
    hub = Hub()
    with contextlib.ExitStack() as stack:
        subscriptions = [stack.enter_context(hub.subscribed()) for _ in range(256)]
        with pytest.raises(TooManyListeners), hub.subscribed():
            pass
        assert await anext(subscriptions[0].entries(0.001)) is None
    with hub.subscribed():
        pass
