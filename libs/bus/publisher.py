"""Empties the spool into the stream, in order, in batches, for ever."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.js.errors import Error as JetStreamError
from structlog.typing import FilteringBoundLogger

from libs.bus.errors import BusUnavailable
from libs.bus.spool import KEEP, Position, Record, Spool
from libs.events import Event, encode, subject

if TYPE_CHECKING:
    from libs.bus.connection import Bus

BATCH = 256
ACK_PATIENCE = 5.0


class Publisher:
    """The way out for one service's events: first to the local spool, then to the bus."""

    def __init__(self, bus: "Bus", folder: Path, *, site: str, service: str, log: FilteringBoundLogger) -> None:
        self._bus = bus
        self._spool = Spool(folder, time.monotonic)
        self._site = site
        self._service = service
        self._log = log
        self._wake = asyncio.Event()
        self._position = self._spool.start()
        self.published = 0

    def emit(self, event: Event) -> None:
        """Record the event; it is published as soon as the bus is there. A full disk is logged, not raised."""
        payload = encode(event, site=self._site, service=self._service)
        try:
            self._spool.append(Record(subject(event.TYPE, event.mac, self._site), event.id, payload))
        except OSError as error:
            self._log.error("an event is lost: the spool takes no more", type=event.TYPE, error=str(error))
        self._wake.set()

    @property
    def drained(self) -> bool:
        """Whether the bus has acknowledged all that was recorded."""
        return not self._spool.read(self._position, 1)[0]

    async def run(self) -> None:
        """Publish for ever. All that is kept is published again after each reconnection, under the same ids."""
        while True:
            await self._bus.wait_connected()
            generation = self._bus.generation
            self._position = self._spool.start()
            try:
                while self._bus.generation == generation and self._bus.connected:
                    await self._publish_some()
            except (BusUnavailable, NatsError, JetStreamError, OSError, TimeoutError) as error:
                self._log.debug("publishing starts over", error=str(error) or type(error).__name__)
                await asyncio.sleep(0.1)

    async def _publish_some(self) -> None:
        self._wake.clear()
        records, position = self._spool.read(self._position, BATCH)
        if records:
            await self._publish(records)
            self._advance(position, len(records))
            return
        try:
            async with asyncio.timeout(KEEP / 2):
                await self._wake.wait()
        except TimeoutError:
            self._spool.tidy()

    async def _publish(self, records: list[Record]) -> None:
        jetstream = self._bus.jetstream
        futures = []
        try:
            for record in records:
                headers = {Header.MSG_ID.value: record.id}
                futures.append(await jetstream.publish_async(record.subject, record.payload, headers=headers))
            async with asyncio.timeout(ACK_PATIENCE):
                await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()

    def _advance(self, position: Position, count: int) -> None:
        self._position = position
        self.published += count
        self._spool.acknowledge(position)

    async def flush(self, timeout: float) -> bool:
        """Wait until the bus has all, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.drained:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def close(self) -> None:
        """Close the spool; what is not published waits for the next start."""
        self._spool.close()
