"""Reading the stream: what is no event is kept, the database is rebuilt, and nothing is lost or doubled by a death."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import nats
import pytest
from sqlalchemy import select

from libs.bus.embedded import url_of
from libs.desired import MACHINES
from libs.envelope import Event, subject
from libs.events import FileFetched, LeaseOffered
from libs.settings import Settings
from services.inventory.models import RejectedRow
from services.inventory.repository.database import Database
from tests.services.inventory.support import api_of, fleet, inventory_of, journey, mac_of, put_image, state_is, teller
from tests.support.postgres import empty
from tests.support.running import bus_of, nats_server, settings_in
from tests.support.waiting import until

MACHINES_OF_A_STORM = 8


async def everything(api: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    """A whole list."""
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 1000, **params, **({"cursor": cursor} if cursor else {})}
        page = (await api.get(path, params=query)).raise_for_status().json()
        items, cursor = items + page["items"], page["next"]
    return items


async def all_booted(api: httpx.AsyncClient) -> None:
    async def look() -> bool:
        return all(item["state"] == "booted" for item in await everything(api, "/v1/installs"))

    await until(look, "every install is booted", timeout=60)


async def settled(api: httpx.AsyncClient, settings: Settings) -> None:
    """Wait until all that the stream holds is folded, and all of ours has come back."""
    async with bus_of(settings, "waiter") as bus:
        assert await bus.wait_connected(10)

        async def look() -> bool:
            last = await bus.last_sequence()
            metrics = (await api.get("/metrics")).text
            position = next(line for line in metrics.splitlines() if line.startswith("kickfleet_stream_position"))
            return float(position.split()[1]) >= last and last == await bus.last_sequence()

        await until(look, "the stream is folded")


async def picture(api: httpx.AsyncClient) -> dict[str, Any]:
    """All that the inventory knows of installs and machines, as far as it can be known from the stream."""
    installs = await everything(api, "/v1/installs")
    timelines = {}
    for install in installs:
        timeline = (await api.get(f"/v1/installs/{install['id']}/timeline")).json()
        told = [item for item in timeline["items"] if item["event"]["type"] != "state.changed"]
        timelines[install["id"]] = (
            timeline["states"],
            [(i["event"]["id"], i["event"]["data"], i["state"]) for i in told],
        )
    machines = {m["name"]: {**m, "status": m["status"]["state"]} for m in await everything(api, "/v1/machines")}
    return {"installs": {i["id"]: i for i in installs}, "timelines": timelines, "machines": machines}


def storm(orders: Sequence[dict[str, Any]], random: Random) -> list[Event]:
    """The journeys of many machines at once, as services publish them: nearly in order."""
    start = datetime.now(UTC)
    events: list[tuple[float, Event]] = []
    for number, install in enumerate(orders, 1):
        begin = start + timedelta(seconds=random.random())
        told = journey(number, begin, install_id=install["id"], step=0.05)
        events += [(event.time.timestamp() + random.random() * 0.1, event) for event in told]
    return [event for _, event in sorted(events, key=lambda pair: pair[0])]


@pytest.fixture
def random() -> Random:
    return Random(7)


async def order_all(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    (await api.post("/v1/apply", json=fleet(MACHINES_OF_A_STORM))).raise_for_status()
    answer = await api.post("/v1/installs", json={"selector": "all"})
    assert answer.status_code == 201, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_lost_database_is_rebuilt_from_the_stream(tmp_path: Path, random: Random) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), teller(settings, tmp_path) as tell:
        async with inventory_of(settings) as api:
            orders = await order_all(api)
            (await api.patch("/v1/machines/node03", json={"tags": {"rack": "r9"}})).raise_for_status()
            (await api.post(f"/v1/installs/{orders[1]['id']}:cancel")).raise_for_status()
            again = (await api.post(f"/v1/installs/{orders[1]['id']}:retry")).json()
            # One is still on its way: its token must survive.
            await tell_all(tell, [e for e in storm(orders, random) if e.mac not in (mac_of(2), mac_of(1))])
            await until(lambda: _count(api, "booted", MACHINES_OF_A_STORM - 2), "the others are installed")
            await settled(api, settings)
            before = await picture(api)
            async with bus_of(settings) as bus:
                assert await bus.wait_connected(10)
                tokens = {name: d["install"] for name, d in (await bus.get_all(MACHINES)).items() if d["install"]}
            assert set(tokens) == {"node01", "node02"}
            last = await _last(settings)
        for file in (settings.data / "inventory").glob("inventory.db*"):
            file.unlink()
        async with inventory_of(settings) as api:
            await until(lambda: _count(api, "booted", MACHINES_OF_A_STORM - 2), "the installs are back")
            await settled(api, settings)
            after = await picture(api)
            assert after["timelines"] == before["timelines"]
            assert after["installs"] == before["installs"]
            # Profiles are not in the stream: they are declared anew.
            assert (await api.get("/v1/profiles/web")).status_code == 404
            assert _declared(after) == _declared(before)
            assert await _last(settings) == last, "nothing was published again"
            (await api.post("/v1/apply", json=fleet(MACHINES_OF_A_STORM))).raise_for_status()
            async with bus_of(settings) as bus:
                assert await bus.wait_connected(10)

                async def restored() -> bool:
                    found = await bus.get_all(MACHINES)
                    return {name: d["install"] for name, d in found.items() if d["install"]} == tokens

                await until(restored, "the machines keep their tokens")
            assert again["id"] in after["installs"]


def _declared(found: dict[str, Any]) -> dict[str, Any]:
    return {name: {k: v for k, v in machine.items() if k != "status"} for name, machine in found["machines"].items()}


async def _count(api: httpx.AsyncClient, state: str, wanted: int) -> bool:
    return len(await everything(api, "/v1/installs", state=state)) == wanted


async def _last(settings: Settings) -> int:
    async with bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        return await bus.last_sequence()


async def tell_all(tell: Any, events: Sequence[Event]) -> None:
    for event in events:
        tell.emit(event)
        await asyncio.sleep(0)


async def test_what_was_said_while_the_bus_was_away_is_published_later(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with inventory_of(settings) as api:
        (install,) = await _order_one(api)
        timeline = (await api.get(f"/v1/installs/{install['id']}/timeline")).json()
        assert [item["event"]["type"] for item in timeline["items"]] == ["install.ordered"]
        async with nats_server(settings):

            async def back() -> bool:
                found = (await api.get("/v1/events", params={"type": "install.ordered"})).json()["items"]
                return [event["data"]["install_id"] for event in found] == [install["id"]]

            await until(back, "the order comes back from the stream")


async def _order_one(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    (await api.post("/v1/apply", json=fleet(1))).raise_for_status()
    items: list[dict[str, Any]] = (await api.post("/v1/installs", json={"machines": ["node01"]})).json()["items"]
    return items


async def test_what_is_no_event_is_kept_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    rubbish = [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"type": "no.such", "id": "1", "time": "2026-03-01T12:00:00Z", "data": {}}',
        b'{"type": "file.fetched", "id": "1", "time": "2026-03-01T12:00:00Z", "data": {"path": ["x"]}}',
        b'{"type": "file.fetched", "id": "2", "time": "2026-03-01T12:00:00", "data": {"path": "x"}}',
        b'{"type": "file.fetched", "id": "3\\u0000", "time": "2026-03-01T12:00:00Z", "data": {"path": "x"}}',
        b'{"type": "file.fetched", "id": "4", "time": "2026-03-01T12:00:00Z", "data": {"path": "x", "mac": "zz"}}',
        b'{"type": "file.fetched", "id": "5", "time": "2026-03-01T12:00:00Z", "data": {"path": "x", "ip": "\\ud800"}}',
        b'{"type": "file.fetched", "id": "6", "time": "0001-01-01T00:00:00Z", "data": {"path": "x"}}',
        b"[" * 100_000,
    ]
    async with nats_server(settings), inventory_of(settings) as api, teller(settings, tmp_path) as tell:
        client = await nats.connect(str(url_of(settings)))
        for message in rubbish:
            await client.jetstream().publish(subject("file.fetched", None, "lab"), message)
        await client.close()
        tell.emit(FileFetched(path="fine", id="fine"))

        async def fine() -> bool:
            return [e["id"] for e in (await api.get("/v1/events")).json()["items"]] == ["fine"]

        await until(fine, "the event behind the rubbish")
        assert f"kickfleet_events_refused_total {len(rubbish)}.0" in (await api.get("/metrics")).text
    database = Database(f"sqlite:///{settings.data / 'inventory' / 'inventory.db'}")
    kept = await database.read(lambda session: list(session.scalars(select(RejectedRow).order_by(RejectedRow.seq))))
    assert [row.data for row in kept] == rubbish
    await database.close()


async def test_a_copy_of_yesterday_catches_up(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    folder = settings.data / "inventory"
    async with nats_server(settings), teller(settings, tmp_path) as tell:
        async with inventory_of(settings) as api:
            (install,) = await _order_one(api)
            await settled(api, settings)
        copies = {file: file.read_bytes() for file in folder.glob("inventory.db*")}
        async with inventory_of(settings) as api:
            for event in list(journey(1, datetime.now(UTC), install_id=install["id"], step=0.001))[:5]:
                tell.emit(event)
            await state_is(api, install["id"], "kernel")
        for file in folder.glob("inventory.db*"):
            file.unlink()
        for file, content in copies.items():
            file.write_bytes(content)
        async with inventory_of(settings) as api:
            found = await state_is(api, install["id"], "kernel")
            assert list(found["reached"]) == ["ordered", "offered", "leased", "bootloader", "configured", "kernel"]


# --- a killed process --------------------------------------------------------------------------------------------


@asynccontextmanager
async def process_of(settings: Settings, config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The inventory as a process of its own. It is gone afterwards."""
    announced = settings.data / "run" / "inventory"
    announced.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inventory", "--config", str(config), cwd=Path(__file__).parents[3]
    )
    try:
        await until(lambda: announced.exists() or process.returncode is not None, "the process listens")
        assert process.returncode is None
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def config_file(settings: Settings, folder: Path, url: str) -> Path:
    """The settings as a file, for a process."""
    path = folder / "kickfleet.toml"
    path.write_text(
        f'data = "{settings.data}"\n[database]\nurl = "{url}"\n[inventory]\nlisten = "127.0.0.1:0"\n'
        '[log]\nlevel = "error"\n'
    )
    return path


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_process_killed_amid_a_storm_makes_the_same_history(
    tmp_path: Path, random: Random, kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres") if kind == "postgresql" else ""
    if url:
        empty(url)
    settings = settings_in(tmp_path)
    put_image(settings)
    config = config_file(settings, tmp_path, url)
    async with nats_server(settings), teller(settings, tmp_path) as tell:
        async with process_of(settings, config), api_of(settings) as api:
            orders = await order_all(api)
        events = storm(orders, random)
        size = len(events) // 3 + 1
        for part in range(0, len(events), size):
            async with process_of(settings, config) as process, api_of(settings) as api:
                enough = len(await everything(api, "/v1/events")) + random.randint(0, 30)
                for event in events[part : part + size]:
                    tell.emit(event)
                await until(partial(_more_than, api, enough), "some of it is folded")
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
        async with process_of(settings, config), api_of(settings) as api:
            await all_booted(api)
            await settled(api, settings)
            killed = await picture(api)
            ids = [event["id"] for event in await everything(api, "/v1/events")]
            assert len(ids) == len(set(ids))
            assert {event.id for event in events} <= set(ids)
    # Undisturbed: the same stream, read from its beginning by a new database.
    calm = settings_in(tmp_path / "calm", data=str(settings.data), database__url=f"sqlite:///{tmp_path / 'calm.db'}")
    async with nats_server(settings), inventory_of(calm) as api:
        await all_booted(api)
        await settled(api, calm)
        undisturbed = await picture(api)
        assert undisturbed["installs"] == killed["installs"]
        assert undisturbed["timelines"] == killed["timelines"]


async def _more_than(api: httpx.AsyncClient, count: int) -> bool:
    return len(await everything(api, "/v1/events")) > count


async def test_an_order_that_the_stream_brings_late_still_gets_its_events(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with inventory_of(settings) as api:
        (install,) = await _order_one(api)
    # The machine was quicker on the bus than the order that waited in our spool.
    async with nats_server(settings), teller(settings, tmp_path) as tell:
        tell.emit(LeaseOffered(mac=mac_of(1), subnet="rack1", client="pxe", time=datetime.now(UTC)))
        assert await tell.flush(10)
        for file in (settings.data / "inventory").glob("inventory.db*"):
            file.unlink()
        async with inventory_of(settings) as api:

            async def offered() -> bool:
                answer = await api.get(f"/v1/installs/{install['id']}")
                return answer.status_code == 200 and answer.json()["state"] == "offered"

            await until(offered, "the order and what came before it")
