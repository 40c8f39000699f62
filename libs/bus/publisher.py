"""Empties the spool into the stream, in order, in batches, for ever."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from structlog.typing import FilteringBoundLogger

from libs.bus.bulk import Outgoing
from libs.bus.errors import BusUnavailable
from libs.bus.spool import KEEP, Position, Record, Spool
from libs.events import Event, encode, subject

if TYPE_CHECKING:
    from libs.bus.connection import Bus

BATCH = 512
GATHER = 0.05  # seconds in which events are gathered
ACK_PATIENCE = 5.0
_ID = b"Nats-Msg-Id"


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

    def emit(self, *events: Event) -> None:
        """Record events; they are published as soon as the bus is there. A full disk is logged, not raised."""
        try:
            self._spool.append(*map(self._record, events))
        except OSError as error:
            types = sorted({event.TYPE for event in events})
            self._log.error("events are lost: the spool takes no more", types=types, error=str(error))
        self._wake.set()

    def _record(self, event: Event) -> Record:
        payload = encode(event, site=self._site, service=self._service)
        return Record(subject(event.TYPE, event.mac, self._site), event.id, payload)

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
                await asyncio.sleep(GATHER)
        except TimeoutError:
            self._spool.tidy()

    async def _publish(self, records: list[Record]) -> None:
        messages = [Outgoing(record.subject.encode(), (_ID, record.id.encode()), record.payload) for record in records]
        await self._bus.client.publish_all(messages, ACK_PATIENCE)

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
