"""Leases on stable storage: a small SQLite database that is synced with every transaction."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    delete,
    event,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from services.dhcp.leases import Hardware, Lease, State

SCHEMA = 1

_METADATA = MetaData()
_LEASES = Table(
    "leases",
    _METADATA,
    Column("address", Integer, primary_key=True, autoincrement=False),
    Column("htype", Integer, nullable=False),
    Column("chaddr", LargeBinary, nullable=False),
    Column("subnet", String, nullable=False),
    Column("state", String, nullable=False),
    Column("expires", Float, nullable=False),
    Column("client_id", LargeBinary),
    Column("uuid", String),
)
_INSERT = insert(_LEASES)
_UPSERT = _INSERT.on_conflict_do_update(
    index_elements=["address"],
    set_={column.name: _INSERT.excluded[column.name] for column in _LEASES.columns if not column.primary_key},
)


class StoreError(Exception):
    """The lease database cannot be used; the message says which file, why, and what would help."""


class Store:
    """The lease database in one file. Every method raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = _engine(path)
        try:
            with self._engine.begin() as connection:
                _prepare(connection, path)
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def load(self) -> list[Lease]:
        """All records."""
        try:
            with self._engine.connect() as connection:
                return [_lease(row) for row in connection.execute(select(_LEASES))]
        except (SQLAlchemyError, ValueError) as error:
            raise self._error(error) from error

    def save(self, leases: Iterable[Lease]) -> None:
        """Write changed records in one transaction; they are on the disk when this returns."""
        latest = {lease.address: lease for lease in leases}
        kept = [_row(lease) for lease in latest.values() if lease.state is not State.FREE]
        gone = [int(lease.address) for lease in latest.values() if lease.state is State.FREE]
        try:
            with self._engine.begin() as connection:
                if kept:
                    connection.execute(_UPSERT, kept)
                for address in gone:
                    connection.execute(delete(_LEASES).where(_LEASES.c.address == address))
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _error(self, error: Exception) -> StoreError:
        cause = getattr(error, "orig", None) or error
        return StoreError(
            f"the lease database {self._path} cannot be used: {cause}. Free its disk, or make the folder writable;"
            f" a damaged file is to be restored from a backup"
        )


def _engine(path: Path) -> Engine:
    # One connection, used from the service's one thread.
    engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # In WAL mode only FULL syncs every commit; an ACK promises that the lease outlives a power cut.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine


def _prepare(connection: Connection, path: Path) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > SCHEMA:
        raise StoreError(
            f"the lease database {path} was written by a newer version of kickfleet (schema {version}, not {SCHEMA});"
            f" install that version again"
        )
    _METADATA.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA}")


def _row(lease: Lease) -> dict[str, object]:
    return {
        "address": int(lease.address),
        "htype": lease.hardware.htype,
        "chaddr": lease.hardware.address,
        "subnet": lease.subnet,
        "state": lease.state.value,
        "expires": lease.expires,
        "client_id": lease.client_id,
        "uuid": lease.uuid,
    }


def _lease(row: Row[Any]) -> Lease:
    return Lease(
        address=IPv4Address(row.address),
        hardware=Hardware(row.htype, row.chaddr),
        subnet=row.subnet,
        state=State(row.state),
        expires=row.expires,
        client_id=row.client_id,
        uuid=row.uuid,
    )
