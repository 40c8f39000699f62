"""A ledger without its service: the clock is set by hand, and the stream is what the test tells."""

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import text

from libs.envelope import Event, encode
from services.inventory.api.shapes import TimelineShape, timeline_shape
from services.inventory.chronicle import Effects
from services.inventory.declaring import enact, plan
from services.inventory.ledger import Ledger, Work
from services.inventory.models import Base
from services.inventory.ordering import cancel, order_of, place
from services.inventory.repository import events as history
from services.inventory.repository import installs
from services.inventory.repository.database import Database
from services.inventory.repository.events import Entry
from services.inventory.repository.installs import Install
from services.inventory.resources.fleet import Fleet
from tests.services.inventory.support import START, fleet

DERIVED = ("state.changed", "machine.booted")
Told = tuple[str, str | None, str | None]


class Book:
    """A ledger whose clock is set by hand, and a stream that numbers what it is given."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START
        self.ledger = Ledger(database, "lab", lambda: self.now)
        self.sequence = 0
        self.effects: list[Effects] = []
        self.ledger.on_commit(self.effects.append)

    async def emptied(self) -> "Book":
        """A new book on the same tables, of which nothing is left but they themselves."""

        def delete(work: Work) -> None:
            for table in reversed(Base.metadata.sorted_tables):
                work.session.execute(text(f"DELETE FROM {table.name}"))

        await self.ledger.transact(delete)
        return Book(self.database)

    async def declare(self, machines: int = 3) -> None:
        """Declare the fleet."""

        def write(work: Work) -> None:
            enact(work, plan(work.session, Fleet.model_validate(fleet(machines))))

        await self.ledger.transact(write)

    async def order(self, *machines: str, after: float = 0) -> list[Install]:
        """Order installs, so many seconds after the start."""
        self.now = START + timedelta(seconds=after)
        order = order_of(machines, None, None)
        return await self.ledger.transact(lambda work: place(work, order, "tests"))

    async def cancel(self, install: Install, after: float) -> None:
        """Withdraw one."""
        self.now = START + timedelta(seconds=after)
        await self.ledger.transact(lambda work: cancel(work, install.id, "tests"))

    async def tell(self, events: Iterable[Event]) -> None:
        """One batch of the stream."""
        entries = []
        for event in events:
            self.sequence += 1
            entries.append(Entry(event, encode(event, site="lab", service="tests").decode(), seq=self.sequence))
        await self.ledger.transact(lambda work: work.take(entries))

    async def install(self, id: str) -> Install:
        """An install as it stands."""
        return (await self.ledger.read(lambda session: installs.by_id(session, [id])))[id]

    async def told(self, id: str) -> list[Told]:
        """The timeline of an install, without what was derived: event, hardware, machine."""
        entries = await self.ledger.read(lambda session: history.of_install(session, id))
        ordered = sorted(entries, key=lambda entry: (entry.event.time, entry.id))
        return [(e.id, e.mac, e.machine) for e in ordered if e.event.TYPE not in DERIVED]

    async def shape(self, id: str) -> TimelineShape:
        """The timeline of an install as the API shows it."""
        install = await self.install(id)
        entries = await self.ledger.read(lambda session: history.of_install(session, id))
        return timeline_shape(install, entries)
