"""Writes documents to a bucket and keeps at it until the bus has them; only the latest value of a key matters."""

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from libs.bus.errors import BusUnavailable

if TYPE_CHECKING:
    from libs.bus.connection import Bus

AT_ONCE = 512  # documents on their way at one time
GATHER = 0.05  # seconds in which changes are gathered

RETRY = 0.1  # seconds between two attempts


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
            await asyncio.sleep(GATHER)
            self._wake.clear()
            while self._pending:
                keys = list(itertools.islice(self._pending, AT_ONCE))
                if not await self._write({key: self._pending.pop(key) for key in keys}):
                    break
            if not self._pending:
                self._idle.set()

    async def _write(self, documents: dict[str, dict[str, Any] | None]) -> bool:
        try:
            await self._bus.put_all(self._bucket, documents)
        except BusUnavailable:
            # Again, but for what has changed meanwhile.
            self._pending = documents | self._pending
            self._wake.set()
            await asyncio.sleep(RETRY)
            return False
        return True
