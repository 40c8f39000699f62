"""`kickfleet up`: what dies is started again, an end is clean, and nothing outlives it, however it ends."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, SOCK_STREAM, socket

import httpx
import pytest

from libs.bus.embedded import url_of
from libs.settings import HostPort
from services.cli.demo.deployment import prepare
from services.cli.supervisor.runfiles import status_page
from tests.support import needs
from tests.support.deployment import PROGRAMS, SERVICES, Up, alive, end, eventually, kickfleet, up
from tests.support.running import nats_server, settings_in

pytestmark = pytest.mark.system


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Up]:
    with up(tmp_path) as deployment:
        yield deployment


def _pids(deployment: Up) -> list[int]:
    pids = [deployment.pid(program) for program in PROGRAMS]
    assert all(pids), f"not all of {PROGRAMS} run: {pids}"
    return [pid for pid in pids if pid]


def _is_ready(deployment: Up, service: str) -> bool:
    page = status_page(deployment.settings, service)
    try:
        answer = httpx.get(f"http://{page}/readyz", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.json()["bus"] == "connected"


def test_what_is_killed_is_started_again_and_said_so(running: Up) -> None:
    for program in PROGRAMS:
        before = running.kill(program)
        after = eventually(partial(_another, running, program, before), f"{program} runs again")
        assert alive(after)
        said = running.said("restarting", program)
        assert [notice["message"].split(";")[0] for notice in said] == ["was ended by SIGKILL"]
    eventually(lambda: all(_is_ready(running, service) for service in SERVICES), "all are ready and on the bus")
    assert running.stop() == 0


def _another(deployment: Up, program: str, before: int) -> int | None:
    pid = deployment.pid(program)
    return pid if pid != before else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with up(tmp_path) as deployment:
        pids = _pids(deployment)
        os.killpg(deployment.process.pid, number)  # as a terminal does it
        assert deployment.process.wait(30) == 0
        assert not [pid for pid in pids if alive(pid)]
        assert list(deployment.run.iterdir()) == []
        assert "the bus is away" not in deployment.stderr, "the services end before the bus"
        assert deployment.stderr.count("the service stops") == len(SERVICES)
        assert not re.findall(r"Traceback|never retrieved|\"level\": \"error\"", deployment.stderr)


def test_nothing_outlives_a_supervisor_that_is_killed(running: Up) -> None:
    pids = _pids(running)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    eventually(lambda: not [pid for pid in pids if alive(pid)], "all have ended", timeout=10)
    again = Up(running.config).start()
    try:
        again.wait_up()
    finally:
        end(again)


def test_two_supervisors_do_not_share_a_data_folder(running: Up) -> None:
    second = running.cli("up")
    assert second.returncode == 2
    assert f"process {running.process.pid}) uses the data folder" in second.stderr
    assert all(alive(pid) for pid in _pids(running))


async def test_a_bus_of_ones_own_is_used_and_not_stopped(tmp_path: Path) -> None:
    elsewhere = settings_in(tmp_path / "elsewhere")
    async with nats_server(elsewhere) as server:
        config = prepare(tmp_path)
        url = str(url_of(elsewhere))
        config.write_text(re.sub(r"\[bus\]\n.*", f'[bus]\nurl = "{url}"', config.read_text()))
        deployment = Up(config)
        try:
            await asyncio.to_thread(lambda: deployment.start().wait_up())
            assert deployment.pid("nats") is None
            assert all(_is_ready(deployment, service) for service in SERVICES)
            assert await asyncio.to_thread(deployment.stop) == 0
        finally:
            end(deployment)
        assert server.process
        assert server.process.returncode is None


PORTS = {
    "inventory": ("inventory.listen", SOCK_STREAM),
    "kickstart": ("kickstart.listen", SOCK_STREAM),
    "dhcp": ("dhcp.port", SOCK_DGRAM),
    "tftp": ("tftp.listen", SOCK_DGRAM),
    "tftp's HTTP server": ("tftp.status", SOCK_STREAM),
    "the embedded NATS server": ("bus.listen", SOCK_STREAM),
}


@pytest.mark.parametrize("owner", PORTS)
def test_a_port_in_use_stops_everything_with_one_message(tmp_path: Path, owner: str) -> None:
    deployment = Up(prepare(tmp_path))
    setting, kind = PORTS[owner]
    address = _address(deployment, setting)
    with closing(socket(AF_INET, kind)) as other:
        other.bind((address.host, address.port))
        if kind == SOCK_STREAM:
            other.listen()
        done = deployment.cli("up")
    assert done.returncode == 2
    messages = [line for line in done.stderr.splitlines() if line.startswith("kickfleet")]
    assert len(messages) == 1
    assert owner in messages[0]
    assert f"{address}" in messages[0]
    assert "the port is in use" in messages[0]
    assert "Traceback" not in done.stderr
    assert list(deployment.run.iterdir()) == []


def _address(deployment: Up, setting: str) -> HostPort:
    section, _, key = setting.partition(".")
    value = getattr(getattr(deployment.settings, section), key)
    return value if isinstance(value, HostPort) else HostPort("127.0.0.1", value)


def test_no_permission_for_port_67_is_said_with_the_remedy(tmp_path: Path) -> None:
    needs.root()
    without = ["--bounding-set", "-net_bind_service,-net_raw", "--inh-caps", "-net_bind_service,-net_raw"]
    unprivileged = [needs.program("unshare", "util-linux"), "--net", needs.program("setpriv", "util-linux"), *without]
    config = tmp_path / "kickfleet.toml"
    config.write_text('data = "var"\n[dhcp]\nlisten = "0.0.0.0"\n[tftp]\nlisten = "0.0.0.0:6969"\n')
    done = kickfleet("dhcp", "--config", str(config), before=unprivileged)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("kickfleet dhcp: dhcp has no permission for udp 0.0.0.0:67. Run as root,")
    assert "CAP_NET_BIND_SERVICE" in lines[-1]
    assert "Traceback" not in done.stderr
