"""The programs that the supervisor keeps alive: the bus, and a process for each service."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Protocol

from libs.bus import EmbeddedServer
from libs.settings import Settings
from services.cli.supervisor.relay import Write, relay

SERVICES = ("inventory", "dhcp", "tftp", "kickstart")  # the slowest to start first
ROOT = Path(__file__).parents[3]
LIFELINE = Path(__file__).with_name("lifeline.py")
GRACE = 12.0  # seconds that a program has to end by itself


class Program(Protocol):
    """Something to keep alive."""

    name: str

    async def start(self) -> int:
        """Start it; returns its process id. Raises OSError."""

    async def wait(self) -> tuple[int, str]:
        """Wait for its end: the exit code (negative: the signal) and the last line that it wrote."""

    async def stop(self) -> None:
        """End it, gently first."""


def launcher() -> list[str]:
    """The command that runs another so that it ends with us."""
    return [sys.executable, "-I", "-S", str(LIFELINE), str(os.getpid())]


class BusProgram:
    """The embedded NATS server."""

    name = "nats"

    def __init__(self, settings: Settings) -> None:
        self._server = EmbeddedServer(settings, launcher())

    async def start(self) -> int:
        """Returns when it listens."""
        await self._server.start()
        assert self._server.process
        return self._server.process.pid

    async def wait(self) -> tuple[int, str]:
        """Its own log is a file in the data folder."""
        assert self._server.process
        return await self._server.process.wait(), ""

    async def stop(self) -> None:
        """It finishes what it has acknowledged."""
        await self._server.stop()


class ServiceProgram:
    """`python -m services.NAME`, in a process group of its own."""

    def __init__(self, name: str, settings: Settings, config: Path | None, write: Write) -> None:
        self.name = name
        self._settings = settings
        self._config = config
        self._write = write
        self._process: Process | None = None
        self._relay: asyncio.Task[str] | None = None

    async def start(self) -> int:
        """Returns when the process runs; whether it serves is for /readyz to say."""
        flags = ["--config", str(self._config)] if self._config else []
        self._process = await asyncio.create_subprocess_exec(
            *launcher(),
            *(sys.executable, "-m", f"services.{self.name}", *flags),
            stdin=DEVNULL,
            stderr=PIPE,
            env=environment(self._settings),
            start_new_session=True,
        )
        assert self._process.stderr
        self._relay = asyncio.create_task(relay(self._process.stderr, self._write), name=f"what {self.name} says")
        return self._process.pid

    async def wait(self) -> tuple[int, str]:
        """Also takes with it what the service may have left in its process group."""
        assert self._process
        assert self._relay
        code = await self._process.wait()
        self._signal(signal.SIGKILL)
        return code, await self._relay

    async def stop(self) -> None:
        """SIGTERM, and after a while SIGKILL."""
        if not self._process or self._process.returncode is not None:
            return
        self._process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._process.wait()
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def environment(settings: Settings) -> dict[str, str]:
    """Ours, with this checkout first among the places of modules, and the logs as our own terminal wants them."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    logs = {"KICKFLEET_LOG__FORMAT": "text", "FORCE_COLOR": "1"}
    readable = settings.log.format == "auto" and sys.stderr.isatty()
    return {**os.environ, "PYTHONPATH": path, **(logs if readable else {})}
