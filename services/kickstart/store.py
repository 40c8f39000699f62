"""What kickstart itself must remember: the installs that it knows by their token, and the callbacks they have given.

A small database file. That an install is done is on stable storage before it is answered; the rest outlives the
process, and is told again after a power cut.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KEEP_SECONDS = 180 * 86400  # how long a token is remembered, so that it is told apart from one that never was

_TABLES = """
CREATE TABLE IF NOT EXISTS installs (
    token BLOB PRIMARY KEY, id TEXT NOT NULL, machine TEXT NOT NULL, mac TEXT NOT NULL, seen REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS callbacks (
    install TEXT NOT NULL, kind TEXT NOT NULL, given REAL NOT NULL, PRIMARY KEY (install, kind)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Install:
    """An install that was ordered once. `token` is the digest of its token."""

    token: bytes
    id: str
    machine: str
    mac: str


class Store:
    """Opens or makes the file; `now` are Unix seconds."""

    def __init__(self, path: Path, now: float) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_TABLES)
        self._forget(now - KEEP_SECONDS)

    def installs(self) -> Iterator[Install]:
        """All that are remembered."""
        rows = self._database.execute("SELECT token, id, machine, mac FROM installs")
        return (Install(*row) for row in rows)

    def remember(self, install: Install, now: float) -> None:
        """Keep an install."""
        row = (install.token, install.id, install.machine, install.mac, now)
        self._database.execute("INSERT OR IGNORE INTO installs VALUES (?, ?, ?, ?, ?)", row)

    def given(self) -> Iterator[tuple[str, str]]:
        """All callbacks that were given: install and kind."""
        return iter(self._database.execute("SELECT install, kind FROM callbacks"))

    def give(self, install: str, kind: str, now: float, *, durable: bool) -> None:
        """Record a callback; with `durable` it is on stable storage at the return. Again is no harm."""
        self._database.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        self._database.execute("INSERT OR IGNORE INTO callbacks VALUES (?, ?, ?)", (install, kind, now))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _forget(self, before: float) -> None:
        old = "SELECT id FROM installs WHERE seen < ?"
        self._database.execute(f"DELETE FROM callbacks WHERE install IN ({old})", (before,))
        self._database.execute("DELETE FROM installs WHERE seen < ?", (before,))
