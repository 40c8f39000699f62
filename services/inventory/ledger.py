"""Transactions of inventory: what happens in one happens whole, and what follows from it follows after the commit."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from libs.envelope import Event
from services.inventory.chronicle import Chronicle, Effects
from services.inventory.repository.database import Database, Session
from services.inventory.repository.events import Entry

T = TypeVar("T")
Clock = Callable[[], datetime]
Listener = Callable[[Effects], None]


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(UTC)


@dataclass
class Work:
    """One transaction that writes."""

    session: Session
    site: str
    now: datetime
    effects: Effects = field(default_factory=Effects)

    def record(self, *events: Event) -> None:
        """Let something of ours have happened: stored and folded here, published after the commit."""
        self._chronicle().record(events)

    def take(self, entries: Collection[Entry]) -> None:
        """Fold events that the stream brought."""
        self._chronicle().take(entries)

    def _chronicle(self) -> Chronicle:
        return Chronicle(self.session, site=self.site, now=self.now, effects=self.effects)


class Ledger:
    """The one way to read and write the database."""

    def __init__(self, database: Database, site: str, clock: Clock = utc_now) -> None:
        self._database = database
        self.site = site
        self.clock = clock
        self._listeners: list[Listener] = []

    def on_commit(self, listener: Listener) -> None:
        """Call `listener` in the event loop after each transaction that wrote, in the order of the commits."""
        self._listeners.append(listener)

    async def read(self, work: Callable[[Session], T]) -> T:
        """What `work` finds. Raises DatabaseUnavailable."""
        return await self._database.read(work)

    async def transact(self, job: Callable[[Work], T]) -> T:
        """What `job` gives, once committed. Raises what it raises, DatabaseUnavailable, and Conflict."""
        loop = asyncio.get_running_loop()
        effects = Effects()

        def run(session: Session) -> T:
            return job(Work(session, self.site, self.clock(), effects))

        def committed() -> None:
            # From the writer's thread: a caller that went away meanwhile must not take the effects along.
            loop.call_soon_threadsafe(self._act, effects)

        return await self._database.write(run, committed)

    def _act(self, effects: Effects) -> None:
        for listener in self._listeners:
            listener(effects)
