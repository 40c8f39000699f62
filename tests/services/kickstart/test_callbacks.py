"""What installers report: once, durably, and for their own install alone."""

import asyncio
from pathlib import Path

import pytest

from libs.desired import MACHINES
from libs.events import derived_id
from tests.services.kickstart.examples import TOKEN, install, machine
from tests.services.kickstart.world import LOST, World, on_bus, running, world
from tests.support.running import bus_of, nats_server, recorder, settings_in
from tests.support.waiting import until

BY_MAC = "pxelinux.cfg/01-52-54-00-00-00-01"


async def test_a_callback_is_one_event_however_often_it_is_made(house: World) -> None:
    await house.order()
    answers = [await house.call("started") for _ in range(3)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, '{"status":"started"}')}
    for _ in range(2):
        await house.call("progress", "40 of 100", params={"phase": "packages", "percent": "40"})
    await house.call("progress", '{"phase": "packages", "percent": 50}', headers={"content-type": "application/json"})
    await house.call("failed", "Traceback:\n  no disk\n")
    assert (await house.call("done")).status_code == 200
    await house.until_event("install.done")
    kinds = [event.TYPE for event in house.tape.events if event.TYPE.startswith("install.")]
    assert kinds == ["install.started", "install.progress", "install.progress", "install.failed", "install.done"]
    started = house.tape.of("install.started")[0]
    assert started.id == derived_id("i1", "started")
    assert (started.mac, started.machine, started.ip) == ("52:54:00:00:00:01", "node01", "127.0.0.1")
    first = house.tape.of("install.progress", percent=40.0)[0]
    assert (getattr(first, "phase", ""), getattr(first, "message", "")) == ("packages", "40 of 100")
    assert house.tape.of("install.failed", reason="Traceback:\n  no disk")


async def test_callbacks_at_once_are_one_event(house: World) -> None:
    await house.order()
    answers = await asyncio.gather(*(house.call("done") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    await house.call("done")
    await house.until_event("install.done")
    assert len(house.tape.of("install.done")) == 1


async def test_done_sends_the_machine_to_its_disk_before_it_is_answered(house: World) -> None:
    await house.order()
    assert (await house.call("done")).status_code == 200
    written = await house.boot_files()
    assert written
    assert (written.boots, written.install_id) == ("disk", None)
    assert "LOCALBOOT" in written.files[BY_MAC]
    assert "sanboot" in (await house.http.get("/boot/ipxe/52-54-00-00-00-01")).text
    assert (await house.http.get(f"/i/{TOKEN}/ks.cfg")).status_code == 410
    assert (await house.call("failed")).status_code == 410
    assert (await house.http.put(f"/i/{TOKEN}/logs/x", content=b"x")).status_code == 410
    assert (await house.call("done")).status_code == 200
    await house.put(MACHINES, machine(kernel_options=["stale"]))  # inventory has not folded it yet: no install again
    assert (await house.call("done")).status_code == 200
    assert (await house.boot_files()) == written


async def test_an_install_that_was_withdrawn_changes_nothing(house: World) -> None:
    await house.order()
    await house.order(install=install("i2", "second-token"))
    for kind in ("started", "done", "failed"):
        assert (await house.call(kind)).status_code == 410
    assert (await house.http.get(f"/i/{TOKEN}/ks.cfg")).status_code == 410
    assert (await house.until_boot_files()).install_id == "i2"
    assert (await house.call("started", token="second-token")).status_code == 200
    assert (await house.call("started", token="third-token")).status_code == 403
    await house.until_event("install.started", install_id="i2")
    assert len([event for event in house.tape.events if event.TYPE.startswith("install.")]) == 1


async def test_done_without_the_bus_is_kept_and_confirmed_once_it_is_back(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with world(tmp_path) as house:
        await house.order()
    async with running(settings) as http:
        response = await http.post(f"/i/{TOKEN}/done")
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert (await http.get(f"/i/{TOKEN}/ks.cfg")).status_code == 410
        assert "sanboot" in (await http.get("/boot/ipxe/52-54-00-00-00-01")).text
        assert (await http.post(f"/i/{TOKEN}/done")).status_code == 503
        async with nats_server(settings), recorder(settings) as tape:

            async def taken() -> bool:
                return (await http.post(f"/i/{TOKEN}/done")).status_code == 200

            await until(taken, "done is confirmed")
            await until(lambda: tape.of("install.done"), "the event comes from the spool")
            async with bus_of(settings) as bus:
                assert await bus.wait_connected(30)
                assert (await on_bus(bus) or LOST).boots == "disk"
            assert len(tape.of("install.done")) == 1


async def test_ended_installs_outlive_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as house:
        await house.order()
        assert (await house.call("done")).status_code == 200
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus, running(settings) as http:
        assert (await http.get(f"/i/{TOKEN}/ks.cfg")).status_code == 410
        assert "sanboot" in (await http.get("/boot/ipxe/52-54-00-00-00-01")).text
        assert await bus.wait_connected(30)

        async def confirmed() -> bool:
            return (await http.post(f"/i/{TOKEN}/done")).status_code == 200

        await until(confirmed, "done is answered as the first time")
        assert (await on_bus(bus) or LOST).boots == "disk"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"percent": 140}', "application/json", 400),
        (b"percent=NaN", "application/x-www-form-urlencoded", 400),
        (b"x" * 70_000, "text/plain", 413),
        (b"\xff\xfe\x00", "text/plain", 200),
        (b"[" * 30_000, "application/json", 400),
    ],
)
async def test_hostile_callbacks(house: World, content: bytes, kind: str, status: int) -> None:
    await house.order()
    response = await house.call("progress", content, headers={"content-type": kind})
    assert response.status_code == status
    assert status == 200 or response.json()["detail"]


async def test_logs_are_kept(house: World) -> None:
    await house.order()
    url = f"/i/{TOKEN}/logs"
    assert (await house.http.put(f"{url}/anaconda.log", content=b"one")).status_code == 201
    assert (await house.http.post(f"{url}/anaconda.log", content=b"two")).json() == {"status": "kept", "bytes": 3}
    kept = house.settings.data / "kickstart" / "logs" / "i1"
    assert (kept / "anaconda.log").read_bytes() == b"two"
    for name in (".hidden", "..", "a%2Fb", "x" * 70, "%00"):
        assert (await house.http.put(f"{url}/{name}", content=b"x")).status_code == 404
    assert (await house.http.put(f"{url}/large", content=b"x" * (8 * 1024 * 1024 + 1))).status_code == 413
    for number in range(31):
        assert (await house.http.put(f"{url}/{number}", content=b"")).status_code == 201
    assert (await house.http.put(f"{url}/one-too-many", content=b"")).status_code == 429
    assert len(list(kept.iterdir())) == 32
    assert (await house.http.put("/i/nobody/logs/x", content=b"x")).status_code == 403
