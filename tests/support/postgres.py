"""A real PostgreSQL server of the tests' own: its files in a temporary folder, its socket beside them, no network."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support import needs

PACKAGE = "postgresql"
ACCOUNT = "postgres"  # the server refuses to run as root; the package brings this account


def _programs() -> Path:
    """The folder of the newest server that is installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if folders:
        return folders[-1]
    return Path(needs.program("postgres", PACKAGE)).parent


def _as_account(command: list[str], folder: Path) -> None:
    if os.geteuid() == 0:
        command = [
            needs.program("setpriv", "util-linux"),
            f"--reuid={ACCOUNT}",
            f"--regid={ACCOUNT}",
            "--clear-groups",
            *command,
        ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@contextmanager
def postgres_server() -> Iterator[str]:
    """A server that listens on a socket file only; gives the URL of its empty database."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="kf-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT, ACCOUNT)
    data, log = folder / "data", folder / "log"
    control = [str(programs / "pg_ctl"), "-D", str(data), "-w", "-t", "30"]
    try:
        _as_account(
            [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", ACCOUNT, "-E", "UTF8", "-N"], folder
        )
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=50"
        _as_account([*control, "-l", str(log), "-o", options, "start"], folder)
        try:
            yield f"postgresql+psycopg://{ACCOUNT}@/postgres?host={folder}"
        finally:
            _as_account([*control, "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def empty(url: str) -> None:
    """Take everything out of a database, its tables as well."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
