"""The service as a process of its own: how it ends, and what `kill -9` cannot take away."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from libs.bus import EmbeddedServer
from libs.desired import MACHINES, SUBNETS
from libs.settings import Settings
from tests.services.kickstart.examples import LOOPBACK, TOKEN, machine
from tests.services.kickstart.world import LOST, on_bus, write
from tests.support.running import bus_of, nats_server, recorder, settings_in
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def process(
    settings: Settings, folder: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """`python -m services.kickstart` with these settings, and a client."""
    config = folder / "kickfleet.toml"
    config.write_text(f'data = "{settings.data}"\n[kickstart]\nlisten = "127.0.0.1:0"\n[bus]\nlisten = "127.0.0.1:0"\n')
    announced = settings.data / "run" / "kickstart"
    announced.unlink(missing_ok=True)
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.kickstart", "--config", str(config)),
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(announced.exists, "the service announces itself")
        async with httpx.AsyncClient(base_url=f"http://{announced.read_text().strip()}", timeout=30) as http:
            yield running, http
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def workers_of(pid: int) -> list[int]:
    """The rendering processes of a service."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if parent == str(pid):
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_it_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), process(settings, tmp_path) as (running, http):
        await _declare(settings)
        await until(lambda: _answers(http), "the answer file")
        (worker,) = workers_of(running.pid)
        running.send_signal(number)
        assert await running.wait() == (-number if number == signal.SIGKILL else 0)
        await until(lambda: not Path(f"/proc/{worker}").exists(), "its worker has ended")


async def _declare(settings: Settings) -> None:
    async with bus_of(settings) as bus:
        assert await bus.wait_connected(30)
        await write(bus, SUBNETS, LOOPBACK.name, LOOPBACK.model_dump(mode="json"))
        await write(bus, MACHINES, "node01", machine().model_dump(mode="json"))


async def _answers(http: httpx.AsyncClient) -> bool:
    return (await http.get(f"/i/{TOKEN}/ks.cfg")).status_code == 200


async def test_what_was_reported_outlives_kill_9_of_service_and_bus(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings) as server:
        async with process(settings, tmp_path) as (running, http):
            await _declare(settings)
            await until(lambda: _answers(http), "the answer file")
            await _kill(server)
            assert (await http.post(f"/i/{TOKEN}/started")).status_code == 200
            assert (await http.post(f"/i/{TOKEN}/done")).status_code == 503
            running.kill()
            await running.wait()
        async with process(settings, tmp_path) as (running, http):
            assert (await http.get(f"/i/{TOKEN}/ks.cfg")).status_code == 410
            assert (await http.post(f"/i/{TOKEN}/done")).status_code == 503
            assert "sanboot" in (await http.get("/boot/ipxe/52-54-00-00-00-01")).text
            await server.start()
            async with recorder(settings) as tape, bus_of(settings) as bus:
                await until(lambda: tape.of("install.done"), "the event")
                assert await bus.wait_connected(30)

                async def at_disk() -> bool:
                    return (await on_bus(bus) or LOST).boots == "disk"

                await until(at_disk, "the way to the disk is written without being asked for again")
                assert [event.TYPE for event in tape.events if event.TYPE.startswith("install.")] == [
                    "install.started",
                    "install.done",
                ]


async def _kill(server: EmbeddedServer) -> None:
    assert server.process
    server.process.kill()
    await server.process.wait()
