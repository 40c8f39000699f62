"""The life of one service: settings, logs, bus, spool, health, metrics, signals, and a clean end."""

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from structlog.typing import FilteringBoundLogger

from libs import logs
from libs.bus import Bus, Publisher
from libs.bus.embedded import url_of
from libs.connection import Protocol
from libs.events import Event
from libs.settings import HostPort, Settings, SettingsError, load
from libs.status import Asgi, Health, with_status
from libs.tasks import end

EXIT_WRONG_USE = 2


class ServiceError(Exception):
    """A service cannot run as it is set up; the message says what, where, and what would help."""


@dataclass
class Context:
    """What a running service has at hand."""

    name: str
    settings: Settings
    data: Path
    log: FilteringBoundLogger
    registry: CollectorRegistry
    bus: Bus
    publisher: Publisher
    health: Health
    failure: "asyncio.Future[None]"
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)
    _servers: list[uvicorn.Server] = field(default_factory=list)

    def emit(self, *events: Event) -> None:
        """Record events in the spool, from where they are published; never waits, never raises for a missing bus."""
        self.publisher.emit(*events)

    def task(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Run something beside; if it fails, the service ends with the error, to be started afresh."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def ready(self, part: str, ok: bool, detail: str = "") -> None:
        """Say whether a part of the service is ready; /readyz tells it."""
        self.health.parts[part] = (ok, detail)

    def announce(self, name: str, address: str) -> None:
        """Write where something listens to `<data>/run/<name>`, for tests, the supervisor and operators."""
        run = self.settings.data / "run"
        run.mkdir(parents=True, exist_ok=True)
        partial = run / f".{name}.{os.getpid()}"
        partial.write_text(f"{address}\n")
        partial.replace(run / name)

    async def serve_http(self, app: Asgi, listen: HostPort) -> HostPort:
        """Serve `app`, with health and metrics in front of it. Raises ServiceError."""
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((listen.host, listen.port))
        except OSError as error:
            sock.close()
            raise bind_error(error, f"{self.name}'s HTTP server", f"tcp {listen}") from None
        config = uvicorn.Config(
            with_status(app, self.health, self.registry),
            http=Protocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        server = _Server(config)
        self._servers.append(server)
        self.task(server.serve(sockets=[sock]), f"http on {listen}")
        return HostPort(listen.host, sock.getsockname()[1])

    async def serve_status(self, listen: HostPort) -> HostPort:
        """Serve health and metrics alone, at the address that `<data>/run/<service>.status` then tells."""
        address = await self.serve_http(_nothing, listen)
        self.announce(f"{self.name}.status", str(address))
        return address

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or self.failure.done():
            return
        if error := task.exception():
            self.failure.set_exception(error)

    async def close(self) -> None:
        """Stop all that was started here."""
        for server in self._servers:
            server.should_exit = True
        serving = [task for task in self._tasks if task.get_name().startswith("http on ")]
        if serving:
            await asyncio.wait(serving, timeout=5)
        await end(*self._tasks)
        await self.publisher.flush(2.0 if self.bus.connected else 0)


class _Server(uvicorn.Server):
    """uvicorn inside our event loop: signals are the service's business."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def _nothing(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


Start = Callable[[Context], AbstractAsyncContextManager[None]]


def bind_error(error: OSError, what: str, address: str) -> ServiceError:
    """The sentence for an address that cannot be had: what wants it, which one, why, and the remedy."""
    if error.errno == errno.EADDRINUSE:
        return ServiceError(
            f"{what} cannot listen on {address}: the port is in use. Stop the other program"
            f" (`ss -lpn` names it) or choose another port in kickfleet.toml"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ServiceError(
            f"{what} has no permission for {address}. Run as root, grant the capabilities"
            f" CAP_NET_BIND_SERVICE and CAP_NET_RAW, or choose a port above 1023 in kickfleet.toml"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ServiceError(
            f"{what} cannot listen on {address}: this host has no such address (`ip address` lists them)"
        )
    return ServiceError(f"{what} cannot listen on {address}: {error.strerror or error}")


async def serve(name: str, start: Start, settings: Settings, *, stop: asyncio.Event | None = None) -> None:
    """Run a service until `stop` is set or a signal comes. Raises ServiceError, or what a task of it raised."""
    log = logs.logger(name)
    stop = stop or _stop_on_signals()
    context = _context(name, settings, log)
    await context.bus.start()
    context.task(context.publisher.run(), "publisher")
    try:
        async with start(context):
            log.info("the service is up")
            stopping = asyncio.ensure_future(_until(stop))
            await asyncio.wait({stopping, context.failure}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if context.failure.done():
                context.failure.result()
            log.info("the service stops")
    finally:
        await context.close()
        await context.bus.stop()
        context.publisher.close()
        if context.failure.done() and not context.failure.cancelled():
            context.failure.exception()


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def _context(name: str, settings: Settings, log: FilteringBoundLogger) -> Context:
    data = settings.data / name
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"the data folder {settings.data} cannot be used: {error.strerror}") from None
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    bus = Bus(lambda: url_of(settings), name, log)
    gauge = Gauge("kickfleet_bus_connected", "1 while the bus answers", registry=registry)
    gauge.set_function(lambda: float(bus.connected))
    publisher = Publisher(bus, data / "spool", site=settings.site, service=name, log=log)
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    health = Health(name, lambda: bus.connected)
    return Context(name, settings, data, log, registry, bus, publisher, health, failure)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def run_service(name: str, start: Start, argv: Sequence[str] | None = None) -> int:
    """The whole program of one service; returns the exit code (2: set up wrongly, as standard error says)."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}", description=f"kickfleet's {name} service")
    parser.add_argument("--config", type=Path, help="the configuration file (default: ./kickfleet.toml)")
    arguments = parser.parse_args(argv)
    try:
        settings = load(arguments.config, os.environ)
        return run_with(name, start, settings)
    except SettingsError as error:
        print(f"kickfleet {name}: {error}", file=sys.stderr)
        return EXIT_WRONG_USE


def run_with(name: str, start: Start, settings: Settings) -> int:
    """Run a service with settings that are known already; returns the exit code."""
    logs.configure(settings.log.level, settings.log.format)
    try:
        asyncio.run(serve(name, start, settings))
    except ServiceError as error:
        print(f"kickfleet {name}: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    return 0
