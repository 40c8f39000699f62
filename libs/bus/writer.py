"""Writes documents to a bucket and keeps at it until the bus has them; only the latest value of a key matters."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from libs.bus.errors import BusUnavailable

if TYPE_CHECKING:
    from libs.bus.connection import Bus

AT_ONCE = 64  # documents on their way at one time


class Writer:
    """Start it as a task (`run`); `set` never waits."""

    def __init__(self, bus: "Bus", bucket: str) -> None:
        self._bus = bus
        self._bucket = bucket
        self._pending: dict[str, dict[str, Any] | None] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def set(self, key: str, document: dict[str, Any] | None) -> None:
        """Have the key hold this document, or nothing."""
        self._pending[key] = document
        self._idle.clear()
        self._wake.set()

    async def flush(self, timeout: float) -> bool:
        """Wait until the bus has all, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._wake.wait()
            await self._bus.wait_connected()
            self._wake.clear()
            while self._pending:
                keys = list(self._pending)[:AT_ONCE]
                batch = {key: self._pending.pop(key) for key in keys}
                await asyncio.gather(*(self._write(key, document) for key, document in batch.items()))
                if self._wake.is_set() and not self._bus.connected:
                    break
            if not self._pending:
                self._idle.set()

    async def _write(self, key: str, document: dict[str, Any] | None) -> None:
        try:
            if document is None:
                await self._bus.delete(self._bucket, key)
            else:
                await self._bus.put(self._bucket, key, document)
        except BusUnavailable:
            self._pending.setdefault(key, document)
            self._wake.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
