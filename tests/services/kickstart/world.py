"""A kickstart service with a bus of its own, an HTTP client, and everything that came over the bus."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from libs.bus import Bus, BusUnavailable
from libs.desired import BOOTFILES, MACHINES, SUBNETS, BootFilesDocument, Document, MachineDocument
from libs.settings import Settings
from services.kickstart.service import kickstart
from tests.services.kickstart.examples import LOOPBACK, TOKEN, machine
from tests.support.running import Recorder, bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

LOST = BootFilesDocument(machine="", macs=[], boots="install")  # what stands for no boot files in comparisons
BY_MAC = "pxelinux.cfg/01-52-54-00-00-00-01"


@dataclass
class World:
    """What tests look at and turn."""

    settings: Settings
    bus: Bus
    tape: Recorder
    http: httpx.AsyncClient
    followed: dict[str, BootFilesDocument] = field(default_factory=dict)

    @property
    def templates(self) -> Path:
        """The site's folder."""
        return self.settings.kickstart.templates

    @property
    def images(self) -> Path:
        """The images' folder."""
        return self.settings.data / "images"

    async def put(self, bucket: str, document: Document, key: str | None = None) -> None:
        """Write desired state."""
        name = key or str(document.model_dump()["name"])
        await write(self.bus, bucket, name, document.model_dump(mode="json"))

    async def remove(self, bucket: str, key: str) -> None:
        """Remove desired state."""
        await write(self.bus, bucket, key, None)

    async def order(self, **changes: Any) -> MachineDocument:
        """Declare node01 and wait until its boot files are on the bus."""
        declared = machine(**changes)
        await self.put(MACHINES, declared)
        install_id = declared.install.id if declared.install else None
        await self.until_boot_files(declared.name, install_id=install_id, boots=declared.netboot)
        return declared

    async def boot_files(self, name: str = "node01") -> BootFilesDocument | None:
        """What the bus itself has for a machine at this moment."""

        return await on_bus(self.bus, name)

    async def until_boot_files(self, name: str = "node01", **fields: Any) -> BootFilesDocument:
        """Wait until a machine's boot files have come over the bus with these fields."""

        def match() -> BootFilesDocument | None:
            found = self.followed.get(name)
            right = found and all(getattr(found, key) == value for key, value in fields.items())
            return found if right else None

        return await until(match, f"boot files of {name} with {fields}")

    async def until_no_boot_files(self, name: str = "node01") -> None:
        """Wait until the bus has told that a machine has no boot files."""
        await until(lambda: name not in self.followed, f"the boot files of {name} are gone")

    async def until_text(self, text: str, file: str = BY_MAC) -> None:
        """Wait until node01's file has this text in it."""
        await until(lambda: text in self.followed["node01"].files[file], f"{text!r} in {file}")

    def follow(self, name: str, value: dict[str, Any] | None) -> None:
        """Take note of what came over the bus."""
        if value is None:
            self.followed.pop(name, None)
        else:
            self.followed[name] = BootFilesDocument.model_validate(value)

    async def until_event(self, type: str, **fields: Any) -> Any:
        """Wait for an event."""
        return (await until(lambda: self.tape.of(type, **fields), f"the event {type} with {fields}"))[-1]

    async def call(self, kind: str, content: bytes | str = b"", *, token: str = TOKEN, **more: Any) -> httpx.Response:
        """A callback."""
        return await self.http.post(f"/i/{token}/{kind}", content=content, **more)


async def on_bus(bus: Bus, name: str = "node01") -> BootFilesDocument | None:
    """What the bus itself has for a machine at this moment, however busy this computer is."""

    async def ask() -> tuple[dict[str, Any] | None] | None:
        with contextlib.suppress(BusUnavailable):
            return ((await bus.get_all(BOOTFILES)).get(name),)
        return None

    (value,) = await until(ask, "the bus answers")
    return BootFilesDocument.model_validate(value) if value else None


async def write(bus: Bus, bucket: str, key: str, value: dict[str, Any] | None) -> None:
    """Have the bus hold a document, or nothing, under a key, however busy this computer is."""

    async def written() -> bool:
        with contextlib.suppress(BusUnavailable):
            await (bus.delete(bucket, key) if value is None else bus.put(bucket, key, value))
            return True
        return False

    await until(written, f"{key} is written")


@asynccontextmanager
async def world(folder: Path, **overrides: object) -> AsyncIterator[World]:
    """The service, its bus with the loopback subnet declared, a client."""
    settings = settings_in(folder, **overrides)
    settings.kickstart.templates.mkdir(exist_ok=True)
    async with nats_server(settings), bus_of(settings) as bus, recorder(settings) as tape:
        assert await bus.wait_connected(30)
        await write(bus, SUBNETS, LOOPBACK.name, LOOPBACK.model_dump(mode="json"))
        async with running(settings) as http:
            made = World(settings, bus, tape, http)
            replica = bus.replica(BOOTFILES, folder / "followed.db", made.follow)
            await replica.start()
            try:
                yield made
            finally:
                await replica.stop()


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The service alone, with a client."""
    async with (
        service("kickstart", kickstart, settings) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as http,
    ):
        yield http
