"""Reads the stream and folds it, batch by batch: stored and folded in one transaction, acknowledged afterwards."""

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from structlog.typing import FilteringBoundLogger

from libs.bus import Bus, BusUnavailable, Message
from libs.envelope import Event, EventError
from services.inventory.ledger import Ledger, Work
from services.inventory.reading import check_event, event_of
from services.inventory.repository import events as history
from services.inventory.repository.database import Conflict, DatabaseUnavailable
from services.inventory.repository.events import Entry

DURABLE = "inventory"
BATCH = 256
RETRY = 0.5  # seconds until a database that is away is tried again


class Projector:
    """Start it as a task (`run`). `caught_up` is set once all that the stream held at the start is folded."""

    def __init__(
        self,
        ledger: Ledger,
        bus: Bus,
        emit: Callable[[Event], None],
        log: FilteringBoundLogger,
        registry: CollectorRegistry,
    ) -> None:
        self._ledger = ledger
        self._bus = bus
        self._emit = emit
        self._log = log
        self._reading_back = False
        self.caught_up = asyncio.Event()
        self.position = 0
        self._folded = Counter("kickfleet_events_folded", "events of the stream that were folded", registry=registry)
        self._refused = Counter("kickfleet_events_refused", "messages that are no events", registry=registry)
        gauge = Gauge("kickfleet_stream_position", "the last sequence that was folded", registry=registry)
        gauge.set_function(lambda: float(self.position))

    async def run(self) -> None:
        """Fold for ever."""
        while not self.caught_up.is_set():
            await self._bus.wait_connected()
            try:
                self.position = await self._ledger.read(history.last_sequence)
                await self._catch_up()
            except (BusUnavailable, DatabaseUnavailable) as error:
                self._log.info("reading the stream starts over", error=str(error))
                await asyncio.sleep(RETRY)
        await self._bus.consume(DURABLE, self.fold, batch=BATCH)

    def publish(self, events: Sequence[Event]) -> None:
        """Put our own new events on the bus; not while old ones are read back, as they are on it already."""
        if not self._reading_back:
            for event in events:
                self._emit(event)

    async def _catch_up(self) -> None:
        """Read what the consumer will not bring again: the database is new, or was put back from a copy."""
        acknowledged = await self._bus.acknowledged(DURABLE)
        last = await self._bus.last_sequence() if not self.position else acknowledged
        if last > self.position:
            self._log.warning(
                "the database is behind; it is read back from the stream", first=self.position + 1, last=last
            )
            await self._read_back(last)
        # What has not come back from the stream may never have reached it.
        for entry in await self._ledger.read(history.unpublished):
            self._emit(entry.event)
        self.caught_up.set()

    async def _read_back(self, last: int) -> None:
        self._reading_back = True
        try:
            batch: list[Message] = []
            async for message in self._bus.read(self.position + 1, last):
                batch.append(message)
                if len(batch) == BATCH:
                    await self.fold(batch)
                    batch = []
            await self.fold(batch)
        finally:
            self._reading_back = False

    async def fold(self, messages: Sequence[Message]) -> None:
        """Fold one batch; tried again until the database takes it, as the next one must come after it."""
        while messages:
            try:
                await self._ledger.transact(lambda work: self._take(work, messages))
                break
            except (DatabaseUnavailable, Conflict) as error:
                self._log.error("events wait for the database", error=str(error), events=len(messages))
                await asyncio.sleep(RETRY)
        self._folded.inc(len(messages))
        self.position = max([self.position, *(message.seq for message in messages)])

    def _take(self, work: Work, messages: Sequence[Message]) -> None:
        entries = []
        for message in messages:
            try:
                entries.append(_entry(message))
            except EventError as error:
                self._refused.inc()
                self._log.error("a message of the stream is no event", sequence=message.seq, reason=str(error))
                history.reject(work.session, message.seq, message.subject, str(error), message.data)
        work.take(entries)


def _entry(message: Message) -> Entry:
    event = event_of(message.data)
    check_event(event)
    try:
        return Entry(event, message.data.decode(), seq=message.seq)
    except UnicodeDecodeError:
        raise EventError("the message is not UTF-8") from None
