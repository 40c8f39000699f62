"""kickfleet as a peer: a NATS server, a fleet in its buckets, and the service as a process of its own."""

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from libs.bus import Bus
from libs.bus.embedded import url_of
from libs.desired import MACHINES, SUBNETS, AddressRange, MachineDocument, SubnetDocument
from libs.settings import Settings
from tests.bench.dhcp.cable import PREFIX, SERVER, SERVER_INTERFACE
from tests.bench.dhcp.peers import (
    DOMAIN,
    LEASE_SECONDS,
    NETWORK,
    POOL,
    START_SECONDS,
    Running,
    kickfleet_command,
    wait_listening,
)
from tests.bench.dhcp.processes import rest
from tests.support.deployment import environment, eventually
from tests.support.running import bus_of, nats_server, settings_in


def hardware_address(number: int) -> str:
    """As load.c has it for client `number`."""
    return (b"\x02\x00" + number.to_bytes(4)).hex(":")


class Kickfleet:
    """Starts the service on one bus, as often as is wanted; the leases of an earlier start are removed."""

    def __init__(self, settings: Settings, bus_process: int, machines: int, python: str) -> None:
        self._settings = settings
        self._bus_process = bus_process
        self._machines = machines
        self._python = python

    @classmethod
    @asynccontextmanager
    async def on_its_bus(cls, folder: Path, machines: int, python: str) -> AsyncIterator["Kickfleet"]:
        """A bus with a fleet of that many machines."""
        settings = settings_in(folder)
        async with nats_server(settings) as server:
            async with bus_of(settings, "bench") as bus:
                await declare(bus, machines)
            assert server.process
            yield cls(settings, server.process.pid, machines, python)

    def start(self, folder: Path) -> Running:
        """Start the service and wait until it knows its fleet."""
        folder.mkdir(parents=True)
        for left in (self._settings.data / "dhcp").glob("leases*"):
            left.unlink()
        command = kickfleet_command(self._python, folder, self._settings.data, str(url_of(self._settings)))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
        wait_listening(process, folder)
        eventually(lambda: self._known() >= self._machines, "the service knows its fleet", START_SECONDS)
        rest([process.pid], START_SECONDS)
        return Running(process, [self._bus_process])

    def _known(self) -> int:
        with sqlite3.connect(self._settings.data / "dhcp" / "machines.db") as replica:
            count: int = replica.execute("SELECT count(*) FROM documents").fetchone()[0]
            return count


async def declare(bus: Bus, machines: int) -> None:
    """The bench's subnet and machines, as inventory would write them."""
    assert await bus.wait_connected(10)
    subnet = SubnetDocument(
        name="bench",
        cidr=IPv4Network(f"{NETWORK}/{PREFIX}"),
        interface=SERVER_INTERFACE,
        pools=[AddressRange(first=IPv4Address(POOL[0]), last=IPv4Address(POOL[1]))],
        gateway=IPv4Address(SERVER),
        dns=[IPv4Address(SERVER)],
        domain=DOMAIN,
        lease_seconds=LEASE_SECONDS,
    )
    await bus.put(SUBNETS, subnet.name, subnet.model_dump(mode="json"))
    writer = bus.writer(MACHINES)
    writing = asyncio.create_task(writer.run())
    for number in range(machines):
        machine = MachineDocument(name=f"node{number:05}", macs=[hardware_address(number)])
        writer.set(machine.name, json.loads(machine.model_dump_json()))
    assert await writer.flush(300), "the bus did not take the fleet"
    writing.cancel()
