"""Two dhcp services, each with its own data folder, on one NATS server that can be stopped and started again."""

import asyncio
import contextlib
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from libs.bus import Bus, EmbeddedServer
from libs.bus.embedded import url_of
from libs.desired import SHARING, AddressRange
from libs.settings import HostPort, Settings
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.service import dhcp
from services.dhcp.sharing import identity
from services.dhcp.sharing.partition import CLOCK_SKEW, LEAST_SECONDS
from tests.services.dhcp.relay import Relay
from tests.services.dhcp.test_service import declare, held, loopback
from tests.support.running import bus_of, service, settings_in
from tests.support.waiting import until

NAMES = ("left", "right")
LISTEN = {"left": "127.0.0.1", "right": "127.0.0.2"}
SIZE = 64  # addresses of the pool
OPEN = SIZE * 7 // 8 - 2  # of them what machines that nobody registered get at least, whatever else is held
PROGRAM = """
from libs.service import run_service
from services.dhcp.service import dhcp
from services.dhcp.sharing import partition
partition.CLOCK_SKEW, partition.LEAST_SECONDS = {skew}, {least}
raise SystemExit(run_service("dhcp", dhcp))
"""
CONFIG = """
data = "{data}"
[bus]
url = "{url}"
[dhcp]
name = "{name}"
listen = "{listen}"
port = 0
status = "127.0.0.1:0"
[log]
level = "error"
"""


def shared_subnet(**changes: Any) -> Any:
    """A subnet behind the relays, open to everybody."""
    pool = AddressRange(first=IPv4Address("127.77.1.0"), last=IPv4Address("127.77.1.0") + (SIZE - 1))
    return loopback(**{"unknown": "lease", "pools": [pool]} | changes)


def mac(number: int) -> str:
    """A client's hardware address."""
    return bytes((0x52, 0x54, 3, 0, number >> 8, number & 255)).hex(":")


@dataclass
class Pair:
    """What a test holds in its hands."""

    folder: Path
    settings: Settings  # of the NATS server
    server: EmbeddedServer
    bus: Bus
    url: str
    constants: dict[str, float] = field(default_factory=lambda: {"skew": CLOCK_SKEW, "least": LEAST_SECONDS})
    _stacks: dict[str, contextlib.AsyncExitStack] = field(default_factory=dict)
    relays: dict[str, Relay] = field(default_factory=dict)
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def settings_of(self, name: str) -> Settings:
        """The settings of one server."""
        listen = LISTEN.get(name, "127.0.0.3")
        return settings_in(self.folder / name, bus__url=self.url, dhcp__name=name, dhcp__listen=listen)

    # --- servers --------------------------------------------------------------------------------------------

    async def start(self, name: str, *, apart: bool = False) -> Relay:
        """Start a server, in this process or `apart` in one of its own; gives a relay to it."""
        stack = self._stacks[name] = contextlib.AsyncExitStack()
        settings = self.settings_of(name)
        running = self._process(name, settings) if apart else service("dhcp", dhcp, settings)
        address = await stack.enter_async_context(running)
        self.relays[name] = stack.enter_context(Relay(address))
        return self.relays[name]

    async def stop(self, name: str) -> None:
        """Stop a server; one apart is killed."""
        await self._stacks.pop(name).aclose()

    async def stop_all(self) -> None:
        """Leave nothing behind."""
        for name in list(self._stacks):
            await self.stop(name)

    @asynccontextmanager
    async def _process(self, name: str, settings: Settings) -> AsyncIterator[HostPort]:
        config = self.folder / f"{name}.toml"
        config.write_text(CONFIG.format(data=settings.data, url=self.url, name=name, listen=LISTEN[name]))
        announced = settings.data / "run" / "dhcp"
        announced.unlink(missing_ok=True)
        command = [sys.executable, "-c", PROGRAM.format(**self.constants), "--config", str(config)]
        child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL, cwd=Path.cwd())
        try:
            await until(announced.exists, "dhcp announces itself")
            host, _, port = announced.read_text().strip().rpartition(":")
            self.processes[name] = child
            yield HostPort(host, int(port))
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
            await child.wait()

    async def both(self, *, apart: bool = False, left_apart: bool = False) -> tuple[Relay, Relay]:
        """Both servers, which know the fleet and have agreed; `apart` is the right one."""
        left = await self.start("left", apart=left_apart)
        await until(lambda: held(self.settings_of("left")), "left knows the fleet")
        right = await self.start("right", apart=apart)
        await until(lambda: held(self.settings_of("right")), "right knows the fleet")
        await self.agreed(2)
        return left, right

    async def agreed(self, count: int) -> None:
        """So many servers share, and all have said so."""

        async def is_agreed() -> bool:
            if not await self.bus.wait_connected(1):
                return False
            found = (await self.bus.get_all(SHARING)).get("members", {})
            members = found.get("members", {})
            return len(members) == count and all(member["seen"] == found["epoch"] for member in members.values())

        await until(is_agreed, f"{count} servers share")
        for name in list(self._stacks):
            await until(partial(self.goes_by_one, name), f"{name} goes by it")

    def parts(self, name: str) -> list[list[str]]:
        """The memberships that a server goes by, as it has them on its disk."""
        return [list(ids) for ids in identity.load(self.settings_of(name).data / "dhcp" / "sharing.json").history]

    def goes_by_one(self, name: str) -> bool:
        """Whether a server goes by one membership alone, with all others in it."""
        return len(self.parts(name)) == 1

    def stored(self, name: str) -> dict[str, tuple[str, str, float]]:
        """A server's records on the disk: address -> state, client, end."""
        with sqlite3.connect(self.settings_of(name).data / "dhcp" / "leases.db") as database:
            rows = database.execute("SELECT address, state, chaddr, expires FROM leases")
            return {str(IPv4Address(a)): (state, chaddr.hex(":"), expires) for a, state, chaddr, expires in rows}

    async def records(self) -> dict[str, dict[str, Any]]:
        """The records on the bus."""
        return {key: value for key, value in (await self.bus.get_all(SHARING)).items() if key != "members"}

    # --- the bus --------------------------------------------------------------------------------------------

    async def bus_away(self) -> None:
        """Kill the NATS server."""
        assert self.server.process
        self.server.process.kill()
        await self.server.process.wait()

    async def bus_back(self) -> None:
        """Start it again, at the same place."""
        self.server = EmbeddedServer(self.settings)
        await self.server.start()


@asynccontextmanager
async def pair(folder: Path, *documents: Any) -> AsyncIterator[Pair]:
    """The bus with a fleet; servers are started by the test."""
    first = EmbeddedServer(settings_in(folder / "bus"))
    address = await first.start()
    await first.stop()
    settings = settings_in(folder / "bus", bus__listen=str(address))
    server = EmbeddedServer(settings)
    await server.start()
    async with bus_of(settings) as bus:
        await declare(bus, *(documents or (shared_subnet(),)))
        url = url_of(settings)
        assert url
        it = Pair(folder, settings, server, bus, url)
        try:
            yield it
        finally:
            await it.stop_all()
            await it.server.stop()


def request(relay: Relay, client: str, offer: Message) -> int:
    """The client takes an offer, as this server hears it; its transaction."""
    chosen = {Option.REQUESTED_ADDRESS: offer.yiaddr.packed, Option.SERVER_IDENTIFIER: offer.options[54]}
    return relay.send(MessageType.REQUEST, client, chosen)
