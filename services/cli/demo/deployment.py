"""A deployment of the demo's own: a data folder, free ports on loopback, and `kickfleet up` as a process."""

import asyncio
import contextlib
import json
import os
import random
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.settings import ENVIRONMENT_PREFIX, Settings, load
from services.cli.errors import Failed
from services.cli.supervisor.programs import ROOT, launcher

START = 120.0  # seconds for everything to be ready
GRACE = 30.0  # seconds for everything to end
PORTS = (15000, 32000)
SETTINGS = """\
# Made by `kickfleet demo`. `kickfleet --config {file} machines` looks at what it did while it runs.
site = "demo"
data = "."
[bus]
listen = "127.0.0.1:{}"
[dhcp]
listen = "127.0.0.1"
port = {}
status = "127.0.0.1:{}"
[tftp]
listen = "127.0.0.1:{}"
status = "127.0.0.1:{}"
[kickstart]
listen = "127.0.0.1:{}"
[inventory]
listen = "127.0.0.1:{}"
[log]
format = "json"
"""


@dataclass(frozen=True)
class Deployment:
    """Everything runs; `log` has what the services say."""

    config: Path
    settings: Settings
    log: Path

    @property
    def admin_token(self) -> str:
        """The token that inventory made at its first start."""
        return (self.settings.data / "admin.token").read_text("utf-8").strip()


Notice = dict[str, Any]


def prepare(folder: Path) -> Path:
    """Write settings with free ports into a data folder; returns their file."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "kickfleet.toml"
    with ExitStack() as held:
        ports = [held.enter_context(_free_port()) for _ in range(7)]
        config.write_text(SETTINGS.format(*ports, file=config), "utf-8")
    return config


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    """A port that is free for TCP and UDP, held until all are found so that each is another one.

    It lies below the range from which systems take ports for outgoing connections: a service that is started again
    needs the same one.
    """
    while True:
        port = random.randrange(*PORTS)
        with ExitStack() as sockets:
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    sockets.enter_context(closing(socket.socket(socket.AF_INET, kind))).bind(("127.0.0.1", port))
            except OSError:
                continue
            yield port
            return


@asynccontextmanager
async def running(config: Path, tell: Callable[[Notice], None]) -> AsyncIterator[Deployment]:
    """`kickfleet up` with these settings until the end of the block. Raises Failed where it does not come up."""
    settings = load(config, {})
    log = settings.data / "up.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *launcher(),
            *(sys.executable, "-m", "services.cli", "up", "--json", "--config", str(config)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=out,
            env=_environment(),
            start_new_session=True,
        )
    up = asyncio.Event()
    listener = asyncio.create_task(_listen(process, tell, up), name="notices of the supervisor")
    try:
        waiting = asyncio.create_task(up.wait(), name="up")
        await asyncio.wait({waiting, listener}, timeout=START, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not up.is_set():
            raise Failed(f"the services did not come up: {_last_line(log)} (all of it in {log})")
        yield Deployment(config, settings, log)
    finally:
        await _stop(process)
        await listener


async def _listen(process: Process, tell: Callable[[Notice], None], up: asyncio.Event) -> None:
    assert process.stdout
    async for line in process.stdout:
        notice = json.loads(line)
        tell(notice)
        if notice["kind"] == "up":
            up.set()


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await process.wait()
            return
    process.kill()
    await process.wait()


def _environment() -> dict[str, str]:
    """Without the operator's own settings: the demo stands beside a deployment and never in it."""
    others = {key: value for key, value in os.environ.items() if not key.startswith(ENVIRONMENT_PREFIX)}
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return {**others, "PYTHONPATH": path}


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "nothing was said"
