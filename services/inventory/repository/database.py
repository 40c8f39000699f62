"""One database for all of inventory: SQLite in the data folder, or PostgreSQL.

All work runs in threads, so that the event loop never waits for a disk. Writing is one thread's, one transaction
after the other: what it reads is what stands until it commits. Reading goes on beside it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session as Session

T = TypeVar("T")
READERS = 4
MANY = 5000  # values in one IN (…): below the bound parameters that either database takes
MIGRATIONS = Path(__file__).parent.parent / "migrations"


class DatabaseUnavailable(Exception):
    """The database cannot be reached or used; the message says which and why, and holds no password."""


class Unstorable(Exception):
    """A value cannot be written into any row: it holds a NUL, or half of a character."""


class Conflict(Exception):
    """Another process wrote something that this would contradict."""


def in_parts(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists that are small enough for one IN (…)."""
    iterator = iter(values)
    while part := list(islice(iterator, MANY)):
        yield part


class Database:
    """Opened with `open`, used with `read` and `write`, closed with `close`."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError:
            raise DatabaseUnavailable("database.url is not an address such as postgresql+psycopg://…") from None
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._closed = False
        self._writing = ThreadPoolExecutor(1, "database-writer")
        self._reading = ThreadPoolExecutor(READERS, "database-reader")
        self._writer = self._engine("BEGIN IMMEDIATE", 1)
        self._reader = self._engine("BEGIN", READERS)

    async def open(self) -> None:
        """Bring the tables up to date. Raises DatabaseUnavailable."""
        await self._run(self._writing, lambda: self.migrate("head"))

    def migrate(self, revision: str) -> None:
        """Up to a revision of the tables, or down to it. Blocks; raises DatabaseUnavailable."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        with self._explained(), self._writer.connect() as connection:
            config.attributes["connection"] = connection
            if revision == "head":
                command.upgrade(config, revision)
            else:
                command.downgrade(config, revision)

    async def read(self, work: Callable[[Session], T]) -> T:
        """What `work` finds. Raises DatabaseUnavailable."""
        return await self._run(self._reading, lambda: self._with_session(self._reader, work))

    async def write(self, work: Callable[[Session], T], committed: Callable[[], None] = lambda: None) -> T:
        """What `work` gives, once it is committed; nothing of it if it raises. Raises DatabaseUnavailable, Conflict.

        `committed` is called in the writer's thread, also when nobody waits for the answer any more.
        """

        def job() -> T:
            result = self._with_session(self._writer, work)
            committed()
            return result

        return await self._run(self._writing, job)

    def connection(self) -> Connection:
        """A raw connection, for tests of the tables themselves."""
        return self._writer.connect()

    async def close(self) -> None:
        """Finish what was begun, and close."""
        self._closed = True
        for executor in (self._writing, self._reading):
            await asyncio.to_thread(executor.shutdown)
        self._writer.dispose()
        self._reader.dispose()

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise DatabaseUnavailable("the database is closed, as the service stops")
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def _with_session(self, engine: Engine, work: Callable[[Session], T]) -> T:
        with self._explained(), Session(engine, expire_on_commit=False) as session, session.begin():
            return work(session)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        where = self._url.database if self.is_sqlite else self._url.render_as_string(hide_password=True)
        try:
            yield
        except IntegrityError as error:
            raise Conflict(str(error.orig).splitlines()[0]) from error
        except (DataError, UnicodeEncodeError) as error:
            raise Unstorable("a text holds a character that cannot be stored, such as NUL") from error
        except (OperationalError, InterfaceError) as error:
            raise DatabaseUnavailable(f"the database {where} cannot be used: {_first_line(error)}") from error

    def _engine(self, begin: str, connections: int) -> Engine:
        if not self.is_sqlite:
            return create_engine(self._url, pool_size=connections, max_overflow=2, pool_pre_ping=True)
        engine = create_engine(
            self._url, pool_size=connections, connect_args={"check_same_thread": False, "timeout": 30}
        )
        # The driver's own notion of a transaction begins too late and commits too early: it is told to have none.
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
