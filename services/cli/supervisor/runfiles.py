"""The folder `<data>/run`: where things listen (written by the services), and which process is which (by us)."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.settings import HostPort, Settings, parse_host_port
from services.cli.errors import WrongUse

LOCK = "up.pid"
STATUS = {"dhcp": ".status", "tftp": ".status"}  # these two serve no other HTTP


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Hold the folder for one supervisor, without what an earlier one left there. Raises WrongUse."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = os.open(run / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise WrongUse(f"the data folder {run.parent} cannot be used: {error.strerror}") from None
    try:
        _lock(lock, run)
        os.truncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        _clear(run)
        try:
            yield
        finally:
            _clear(run)
            (run / LOCK).unlink(missing_ok=True)
    finally:
        os.close(lock)


def _lock(lock: int, run: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = (run / LOCK).read_text().strip()
        raise WrongUse(
            f"another `kickfleet up` (process {other}) uses the data folder {run.parent}; stop it first, or set"
            f" `data` to another folder"
        ) from None


def _clear(run: Path) -> None:
    for file in run.iterdir():
        if file.name != LOCK:
            file.unlink()


def write_pid(run: Path, name: str, pid: int | None) -> None:
    """Say which process a program is; None: it has ended."""
    file = run / f"{name}.pid"
    if pid is None:
        file.unlink(missing_ok=True)
        return
    partial = run / f".{name}.pid"
    partial.write_text(f"{pid}\n")
    partial.replace(file)


def announced(settings: Settings, name: str) -> HostPort | None:
    """Where a service listens; None before it does."""
    with contextlib.suppress(OSError, ValueError):
        return parse_host_port((settings.data / "run" / name).read_text().strip())
    return None


def status_page(settings: Settings, service: str) -> HostPort | None:
    """Where a service tells its health; None before it does."""
    return announced(settings, service + STATUS.get(service, ""))
