"""Leases on stable storage: a small SQLite database that is synced with every transaction.

Plain `sqlite3`, as each acknowledged lease passes here: one prepared statement a batch.
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from libs.wire.address import address_of
from services.dhcp.leases import Hardware, Lease, State

SCHEMA = 1
LARGEST_LOG = 16_384  # pages of 4 KiB

_TABLE = """
CREATE TABLE IF NOT EXISTS leases (
  address INTEGER NOT NULL PRIMARY KEY,
  htype INTEGER NOT NULL,
  chaddr BLOB NOT NULL,
  subnet VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  expires FLOAT NOT NULL,
  client_id BLOB,
  uuid VARCHAR
)"""
_COLUMNS = "address, htype, chaddr, subnet, state, expires, client_id, uuid"
_PUT = f"INSERT OR REPLACE INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM leases WHERE address = ?"
_ALL = f"SELECT {_COLUMNS} FROM leases"


class StoreError(Exception):
    """The lease database cannot be used; the message says which file, why, and what would help."""


class Store:
    """The lease database in one file. Every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._prepare()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _prepare(self) -> None:
        execute = self._database.execute
        execute("PRAGMA journal_mode=WAL")
        # In WAL mode only FULL syncs every commit; an ACK promises that the lease outlives a power cut.
        execute("PRAGMA synchronous=FULL")
        # Moving the log into the table file takes as long as many commits: `tidy` does it beside, commits hardly ever.
        execute(f"PRAGMA wal_autocheckpoint={LARGEST_LOG}")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"the lease database {self._path} was written by a newer version of kickfleet (schema {version},"
                f" not {SCHEMA}); install that version again"
            )
        with self._database:
            execute(_TABLE)
            execute(f"PRAGMA user_version={SCHEMA}")

    def load(self) -> list[Lease]:
        """All records."""
        try:
            return [_lease(row) for row in self._database.execute(_ALL)]
        except (sqlite3.Error, ValueError) as error:
            raise self._error(error) from error

    def save(self, leases: Iterable[Lease]) -> None:
        """Write changed records in one transaction; they are on the disk when this returns."""
        latest = {int(lease.address): lease for lease in leases}
        kept = [_row(number, lease) for number, lease in latest.items() if lease.state is not State.FREE]
        gone = [(number,) for number, lease in latest.items() if lease.state is State.FREE]
        try:
            # Commits, or takes all back where one fails.
            with self._database as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(_PUT, kept)
                database.executemany(_DELETE, gone)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def tidy(self) -> None:
        """Move the write-ahead log into the table, by a connection of its own; to be called in another thread."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._path)) as beside:
            beside.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _error(self, error: Exception) -> StoreError:
        return StoreError(
            f"the lease database {self._path} cannot be used: {error}. Free its disk, or make the folder writable;"
            f" a damaged file is to be restored from a backup"
        )


def _row(address: int, lease: Lease) -> tuple[object, ...]:
    htype, chaddr = lease.hardware
    return (address, htype, chaddr, lease.subnet, lease.state.value, lease.expires, lease.client_id, lease.uuid)


def _lease(row: tuple[Any, ...]) -> Lease:
    address, htype, chaddr, subnet, state, expires, client_id, uuid = row
    return Lease(
        address=address_of(address.to_bytes(4)),
        hardware=Hardware(htype, chaddr),
        subnet=subnet,
        state=State(state),
        expires=expires,
        client_id=client_id,
        uuid=uuid,
    )
