"""The whole service: with a bus, without one, and set up wrongly."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs import desired
from libs.events import BootconfigFetched, KernelFetched, PxelinuxFetched, TransferFailed
from libs.service import ServiceError, serve
from libs.settings import Settings
from services.tftp.service import tftp
from tests.services.tftp.rig import peer
from tests.services.tftp.test_fleet import MAC, boot_files
from tests.support.running import bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

IP = "127.0.0.1"


def lease() -> dict[str, Any]:
    expires = datetime.now(UTC) + timedelta(hours=1)
    return {"ip": IP, "mac": MAC, "subnet": "lab", "machine": "node01", "expires": expires.isoformat()}


def deploy(settings: Settings) -> None:
    """A loader and an image in the data folder."""
    for path, content in {"loaders/pxelinux.0": b"loader", "images/rocky/vmlinuz": b"kernel" * 1000}.items():
        place = settings.data / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


async def fill(settings: Settings) -> None:
    """What dhcp and kickstart would write."""
    async with bus_of(settings) as bus:
        await bus.wait_connected(30)
        await bus.put(desired.LEASES, IP, lease())
        await bus.put(desired.BOOTFILES, "node01", boot_files())


async def test_a_boot_is_told_on_the_bus_each_milestone_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    deploy(settings)
    async with nats_server(settings), recorder(settings) as tape:
        await fill(settings)
        async with service("tftp", tftp, settings) as address:
            with peer((address.host, address.port)) as machine:
                assert await machine.fetch("pxelinux.0", tsize=0, blksize=1408) == b"loader"
                assert await machine.fetch("pxelinux.cfg/01-52-54-00-00-00-01") == b"# node01"
                assert await machine.fetch("/images/rocky/vmlinuz", blksize=1408) == b"kernel" * 1000
                await machine.ask("images/rocky/initrd.img")
            await until(lambda: len(tape.messages) >= 4, "four events")
        pxelinux, config, kernel, failed = tape.events
        assert isinstance(pxelinux, PxelinuxFetched)
        assert isinstance(config, BootconfigFetched)
        assert isinstance(kernel, KernelFetched)
        assert isinstance(failed, TransferFailed)
        for event in tape.events:
            assert (event.mac, event.machine, event.install_id) == (MAC, "node01", "install-of-node01")
            assert event.ip == IP
        assert (config.boots, kernel.path, kernel.bytes) == ("install", "images/rocky/vmlinuz", 6000)
        assert (failed.reason, failed.path) == ("missing", "images/rocky/initrd.img")
        assert tape.messages[0].subject == "kickfleet.events.lab.52-54-00-00-00-01.pxelinux.fetched"


async def test_what_changes_on_the_bus_is_served_at_once(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), service("tftp", tftp, settings) as address, bus_of(settings) as bus:
        await bus.wait_connected(30)
        with peer((address.host, address.port)) as machine:
            for text in ("install", "disk"):
                files = {"pxelinux.cfg/01-52-54-00-00-00-01": text}
                await bus.put(desired.BOOTFILES, "node01", boot_files(files=files))

                async def served(wanted: bytes = text.encode()) -> bool:
                    try:
                        return await machine.fetch("pxelinux.cfg/01-52-54-00-00-00-01") == wanted
                    except AssertionError:
                        return False

                await until(served, f"{text} is served")


async def test_without_a_bus_the_last_state_is_served_and_events_wait(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    deploy(settings)
    async with nats_server(settings):
        await fill(settings)
        async with service("tftp", tftp, settings):
            pass
    async with service("tftp", tftp, settings) as address:
        with peer((address.host, address.port)) as machine:
            assert await machine.fetch("pxelinux.cfg/01-52-54-00-00-00-01") == b"# node01"
    async with nats_server(settings), recorder(settings) as tape, service("tftp", tftp, settings):
        await until(lambda: tape.of(BootconfigFetched, machine="node01"), "the event of the time without a bus")
        assert len(tape.messages) == 1


async def test_a_broken_document_on_the_bus_harms_nobody(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings):
        async with bus_of(settings) as bus:
            await bus.wait_connected(30)
            await bus.put(desired.BOOTFILES, "broken", {"files": {"../x": 1}})
            await bus.put(desired.LEASES, "10.0.0.1", {"ip": "nonsense"})
        await fill(settings)
        async with service("tftp", tftp, settings) as address:
            with peer((address.host, address.port)) as machine:
                assert await machine.fetch("pxelinux.cfg/01-52-54-00-00-00-01") == b"# node01"


async def test_health_and_figures_are_told_by_http(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = settings_in(tmp_path, tftp__status=f"127.0.0.1:{port}")
    deploy(settings)

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return str(answer.read().decode())

    async with service("tftp", tftp, settings) as address:
        with peer((address.host, address.port)) as machine:
            await machine.fetch("pxelinux.0")
        assert json.loads(await asyncio.to_thread(page, "/readyz"))["ready"]
        figures = await asyncio.to_thread(page, "/metrics")
        assert 'kickfleet_tftp_transfers_total{end="completed",kind="pxelinux"} 1.0' in figures
        assert "kickfleet_tftp_sent_bytes_total 6.0" in figures


async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        settings = settings_in(tmp_path, tftp__listen=f"127.0.0.1:{other.getsockname()[1]}")
        with pytest.raises(ServiceError, match="the port is in use") as caught:
            await serve("tftp", tftp, settings, stop=asyncio.Event())
    assert "udp 127.0.0.1:" in str(caught.value)


async def test_a_folder_of_loaders_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, tftp__loaders=str(tmp_path / "nowhere"))
    with pytest.raises(ServiceError, match=r"tftp\.loaders names .*nowhere, which is no folder"):
        await serve("tftp", tftp, settings, stop=asyncio.Event())


def test_the_program_ends_with_code_2_and_one_line_where_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        config = tmp_path / "kickfleet.toml"
        config.write_text(f'[tftp]\nlisten = "127.0.0.1:{other.getsockname()[1]}"\n[bus]\nlisten = "127.0.0.1:0"\n')
        done = subprocess.run(
            [sys.executable, "-m", "services.tftp", "--config", str(config)], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("kickfleet tftp:")]
    assert "in use" in sentence
    assert "Traceback" not in done.stderr


async def test_the_service_ends_cleanly_with_transfers_under_way(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    deploy(settings)
    with contextlib.ExitStack() as stack:
        async with service("tftp", tftp, settings) as address:
            machine = stack.enter_context(peer((address.host, address.port)))
            await machine.ask("images/rocky/vmlinuz")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind((address.host, address.port))
