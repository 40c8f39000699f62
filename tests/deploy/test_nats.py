"""The NATS configuration for a deployment of several hosts: each service can do its work there, and no other's."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
import structlog

from libs.bus import Bus, BusUnavailable
from libs.desired import BOOTFILES, LEASES, MACHINES
from tests.support.waiting import until

CONFIG = Path(__file__).parents[2] / "deploy" / "nats.conf"
SERVICES = ("dhcp", "tftp", "kickstart", "inventory")


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[str]:
    text = CONFIG.read_text().replace("0.0.0.0:4222", "127.0.0.1:-1").replace("/var/lib/nats", str(folder / "store"))
    config = folder / "nats.conf"
    config.write_text(f'{text}\nports_file_dir: "{folder}"\n')
    environment = os.environ | {f"KICKFLEET_NATS_{name.upper()}": f"secret-{name}" for name in SERVICES}
    program = Path(sys.executable).with_name("nats-server")
    process = await asyncio.create_subprocess_exec(str(program), "-c", str(config), env=environment, stderr=-3)
    try:
        ports = await until(lambda: [file.read_text() for file in folder.glob("*.ports")], "the server listens")
        yield ports[0].split('"nats://', 1)[1].split('"', 1)[0]
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _bus(address: str, user: str) -> AsyncIterator[Bus]:
    bus = Bus(lambda: f"nats://{user}:secret-{user}@{address}", user, structlog.get_logger())
    await bus.start()
    try:
        assert await bus.wait_connected(10), f"{user} connects and finds stream and buckets"
        yield bus
    finally:
        await bus.stop()


ALLOWED = [
    ("dhcp", "kickfleet.events.lab._.lease.offered"),
    ("tftp", "kickfleet.events.lab._.kernel.fetched"),
    ("kickstart", "kickfleet.events.lab._.install.done"),
    ("inventory", "kickfleet.events.lab._.state.changed"),
]
REFUSED = [
    ("dhcp", "kickfleet.events.lab._.install.done"),
    ("tftp", "kickfleet.events.lab._.install.done"),
    ("tftp", "kickfleet.events.lab._.lease.offered"),
    ("kickstart", "kickfleet.events.lab._.lease.acknowledged"),
]


async def test_each_service_publishes_its_own_events_and_no_others(tmp_path: Path) -> None:
    async with _server(tmp_path) as address:
        for user, subject in ALLOWED:
            async with _bus(address, user) as bus:
                assert (await bus.jetstream.publish(subject, b"{}")).seq
        for user, subject in REFUSED:
            async with _bus(address, user) as bus:
                with pytest.raises(nats.errors.Error):
                    await bus.client.jetstream(timeout=0.3).publish(subject, b"{}")


async def test_desired_state_is_written_by_its_owner_alone(tmp_path: Path) -> None:
    owners = {MACHINES: "inventory", LEASES: "dhcp", BOOTFILES: "kickstart"}
    async with _server(tmp_path) as address:
        for bucket, owner in owners.items():
            async with _bus(address, owner) as bus:
                await bus.put(bucket, "key", {"by": owner})
            async with _bus(address, "tftp") as bus:
                assert await bus.get_all(bucket) == {"key": {"by": owner}}
                with pytest.raises(BusUnavailable):
                    await bus.put(bucket, "key", {"by": "tftp"})
