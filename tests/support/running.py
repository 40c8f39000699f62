"""Real parts for tests: settings with free ports, an isolated NATS server, a service inside the test's loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from libs.bus import Bus, EmbeddedServer
from libs.bus.embedded import url_of
from libs.bus.stream import Message
from libs.events import Event, decode
from libs.service import Start, serve
from libs.settings import HostPort, Settings, load
from libs.tasks import end
from tests.support.waiting import until


def settings_in(folder: Path, **overrides: object) -> Settings:
    """Settings with all data in `folder` and every port free to choose; overrides by key with __ for the dot."""
    values: dict[str, object] = {
        "data": str(folder / "var"),
        "bus.listen": "127.0.0.1:0",
        "dhcp.port": 0,
        "dhcp.listen": "127.0.0.1",
        "dhcp.status": "127.0.0.1:0",
        "tftp.listen": "127.0.0.1:0",
        "tftp.status": "127.0.0.1:0",
        "kickstart.listen": "127.0.0.1:0",
        "kickstart.templates": str(folder / "templates"),
        "inventory.listen": "127.0.0.1:0",
        "inventory.allow_private_webhooks": True,
        "log.format": "text",
    }
    values |= {key.replace("__", "."): value for key, value in overrides.items()}
    return load(None, {}, values)


@asynccontextmanager
async def nats_server(settings: Settings) -> AsyncIterator[EmbeddedServer]:
    """A NATS server of this test's own."""
    server = EmbeddedServer(settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def bus_of(settings: Settings, name: str = "test") -> AsyncIterator[Bus]:
    """A connection to the test's server."""
    bus = Bus(lambda: url_of(settings), name, structlog.get_logger())
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


@asynccontextmanager
async def service(name: str, start: Start, settings: Settings) -> AsyncIterator[HostPort]:
    """A service in this loop; gives the address that it announced. Its failure fails the test."""
    announced = settings.data / "run" / name
    announced.unlink(missing_ok=True)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(name, start, settings, stop=stop))
    try:
        await until(lambda: task.done() or announced.exists(), f"{name} announces itself")
        if task.done():
            task.result()
        host, _, port = announced.read_text().strip().rpartition(":")
        yield HostPort(host, int(port))
    finally:
        stop.set()
        await task


class Recorder:
    """Keeps every event that the stream holds. Run `follow` as a task."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @property
    def events(self) -> list[Event]:
        """What came so far, decoded."""
        return [decode(message.data) for message in self.messages]

    def of(self, kind: type[Event] | str, **fields: Any) -> list[Event]:
        """The events of a type whose fields have these values."""
        name = kind if isinstance(kind, str) else kind.TYPE
        return [
            event
            for event in self.events
            if name == event.TYPE and all(getattr(event, key) == value for key, value in fields.items())
        ]

    async def _take(self, messages: list[Message]) -> None:
        # A batch whose acknowledgement the server's death swallowed is delivered again: what the stream holds counts.
        seen = {message.seq for message in self.messages}
        self.messages += [message for message in messages if message.seq not in seen]

    async def follow(self, bus: Bus) -> None:
        """Read the stream from its beginning, for ever."""
        await bus.consume("recorder", self._take)


@asynccontextmanager
async def recorder(settings: Settings) -> AsyncIterator[Recorder]:
    """A recorder that is following the stream."""
    async with bus_of(settings, "recorder") as bus:
        tape = Recorder()
        task = asyncio.create_task(tape.follow(bus))
        try:
            yield tape
        finally:
            await end(task)
