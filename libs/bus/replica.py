"""A local copy of a key-value bucket that outlives the process and the absence of the bus."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.kv import KeyValue
from structlog.typing import FilteringBoundLogger

from libs.bus.errors import BusUnavailable
from libs.tasks import end

if TYPE_CHECKING:
    from libs.bus.connection import Bus

OnChange = Callable[[str, dict[str, Any] | None], None]
FAULTS = (BusUnavailable, NatsError, JetStreamError, OSError, TimeoutError, asyncio.TimeoutError)


class Replica:
    """Follows a bucket for ever. `on_change(key, document)` runs in the event loop; None means the key is gone."""

    def __init__(self, bus: "Bus", bucket: str, path: Path, on_change: OnChange, log: FilteringBoundLogger) -> None:
        self._bus = bus
        self._bucket = bucket
        self._on_change = on_change
        self._log = log
        self._store = _Store(path)
        self._documents = self._store.load()
        self._task: asyncio.Task[None] | None = None
        self.synced = asyncio.Event()
        for key, document in self._documents.items():
            self._tell(key, document)

    async def start(self) -> None:
        """Begin to follow the bucket; returns at once."""
        self._task = asyncio.create_task(self._follow(), name=f"replica of {self._bucket}")

    async def stop(self) -> None:
        """Stop following; the copy stays."""
        if self._task:
            await end(self._task)
        self._store.close()

    async def wait_synced(self, timeout: float) -> bool:
        """Wait until the whole bucket was seen once, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self.synced.wait()
        except TimeoutError:
            return False
        return True

    def items(self) -> dict[str, dict[str, Any]]:
        """All documents by key."""
        return dict(self._documents)

    def get(self, key: str) -> dict[str, Any] | None:
        """One document."""
        return self._documents.get(key)

    async def _follow(self) -> None:
        while True:
            await self._bus.wait_connected()
            try:
                await self._follow_connected()
            except FAULTS as error:
                self._log.debug("following a bucket starts over", bucket=self._bucket, error=str(error))
                await asyncio.sleep(0.1)

    async def _follow_connected(self) -> None:
        generation = self._bus.generation
        watcher = await (await self._bus.bucket(self._bucket)).watchall()
        lost = asyncio.create_task(self._bus.wait_lost(generation))
        try:
            await self._take_snapshot(watcher, lost)
            while not lost.done():
                entry = await next_entry(watcher, lost)
                if entry:
                    self._apply(entry)
        finally:
            lost.cancel()
            with contextlib.suppress(*FAULTS):
                await watcher.stop()

    async def _take_snapshot(self, watcher: KeyValue.KeyWatcher, lost: "asyncio.Task[None]") -> None:
        seen = set()
        while not lost.done():
            entry = await next_entry(watcher, lost)
            if entry is None:
                break
            self._apply(entry)
            seen.add(entry.key)
        if lost.done():
            return
        for key in set(self._documents) - seen:
            self._set(key, None)
        self.synced.set()

    def _apply(self, entry: KeyValue.Entry) -> None:
        gone = entry.operation in ("DEL", "PURGE")
        try:
            self._set(entry.key, None if gone else json.loads(entry.value or b""))
        except ValueError:
            self._log.error("a document that is not JSON was left aside", bucket=self._bucket, key=entry.key)

    def _set(self, key: str, document: dict[str, Any] | None) -> None:
        if self._documents.get(key) == document:
            return
        if document is None:
            del self._documents[key]
        else:
            self._documents[key] = document
        self._store.set(key, document)
        self._tell(key, document)

    def _tell(self, key: str, document: dict[str, Any] | None) -> None:
        try:
            self._on_change(key, document)
        except ValueError as error:
            self._log.error("a document was left aside", bucket=self._bucket, key=key, error=str(error))


async def next_entry(watcher: KeyValue.KeyWatcher, lost: "asyncio.Task[None]") -> KeyValue.Entry | None:
    """The next entry; None for the end of the snapshot, or when the connection is lost."""
    update = asyncio.ensure_future(anext(watcher))
    try:
        await asyncio.wait({update, lost}, return_when=asyncio.FIRST_COMPLETED)
        entry = update.result() if update.done() else None
        return entry if isinstance(entry, KeyValue.Entry) else None
    finally:
        update.cancel()


class _Store:
    """Keys and documents in a small database file; losing the last moments in a power cut is harmless."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute("CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, document TEXT)")

    def load(self) -> dict[str, dict[str, Any]]:
        rows = self._database.execute("SELECT key, document FROM documents")
        return {key: json.loads(document) for key, document in rows}

    def set(self, key: str, document: dict[str, Any] | None) -> None:
        if document is None:
            self._database.execute("DELETE FROM documents WHERE key = ?", (key,))
        else:
            self._database.execute("REPLACE INTO documents VALUES (?, ?)", (key, json.dumps(document)))

    def close(self) -> None:
        self._database.close()
