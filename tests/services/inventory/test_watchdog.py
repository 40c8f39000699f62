"""The watchdog: what lasts too long is stalled with its reason, and nothing is judged blindly."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.events import InstallStalled, KernelFetched
from services.inventory.repository import events as history
from services.inventory.repository import installs
from services.inventory.repository.database import Database
from services.inventory.watchdog import turn_overdue
from tests.services.inventory.book import Book
from tests.services.inventory.support import START, inventory_of, journey, mac_of, state_is
from tests.support.running import nats_server, settings_in


@pytest.fixture
def book(database: Database) -> Book:
    return Book(database)


async def turn(book: Book, after: float) -> set[str]:
    book.now = START + timedelta(seconds=after)
    return await book.ledger.transact(turn_overdue)


async def test_each_state_is_stalled_after_its_deadline_with_the_reason(book: Book) -> None:
    await book.declare()
    one, two = await book.order("node01", "node02")
    await book.tell(list(journey(1, START))[:5])
    assert await turn(book, 600) == set()
    assert await turn(book, 606) == {one.id}
    found = await book.install(one.id)
    assert (found.state, found.life.milestone) == ("stalled", "kernel")
    assert "not the initial ram disk" in found.life.reason
    assert await turn(book, 607) == set()
    assert await turn(book, 3600) == {two.id}
    (event,) = await book.ledger.read(lambda session: history.of_install(session, two.id, [InstallStalled.TYPE]))
    assert isinstance(event.event, InstallStalled)
    assert (event.event.state, event.event.waited) == ("ordered", 3600)
    assert event.event.expected == "its firmware asks for an address"


async def test_a_stalled_machine_goes_on_by_itself_and_has_a_deadline_again(book: Book) -> None:
    await book.declare()
    (install,) = await book.order("node01")
    events = list(journey(1, START))
    await book.tell(events[:5])
    await turn(book, 606)
    await book.tell([event for event in journey(1, START + timedelta(seconds=700)) if event.TYPE == "initrd.fetched"])
    assert (await book.install(install.id)).state == "initrd"
    assert await book.ledger.read(installs.next_deadline) == START + timedelta(seconds=706 + 600)
    assert await turn(book, 706 + 600) == {install.id}
    shape = await book.shape(install.id)
    assert [span.state for span in shape.states][-4:] == ["kernel", "stalled", "initrd", "stalled"]


async def test_the_profiles_own_limit_counts(book: Book) -> None:
    await book.declare()
    (install,) = await book.order("node01")
    await book.tell(list(journey(1, START, install_id=install.id))[:9])
    assert (await book.install(install.id)).state == "installing"
    assert await turn(book, 9 + 2399) == set()
    assert await turn(book, 9 + 2400) == {install.id}


async def test_what_came_late_but_happened_in_time_undoes_the_stall(book: Book) -> None:
    await book.declare()
    (install,) = await book.order("node01")
    await turn(book, 3600)
    assert (await book.install(install.id)).state == "stalled"
    await book.tell([KernelFetched(mac=mac_of(1), path="k", time=START + timedelta(seconds=3599))])
    assert (await book.install(install.id)).state == "kernel"


async def test_what_passed_while_the_service_was_down_is_judged_once_it_sees_the_stream(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    folder = settings.data / "inventory"
    folder.mkdir(parents=True)
    database = Database(f"sqlite:///{folder / 'inventory.db'}")
    await database.open()
    book = Book(database)
    await book.declare()
    (install,) = await book.order("node01", after=(datetime.now(UTC) - START).total_seconds() - 3700)
    await database.close()
    async with inventory_of(settings) as api:
        # Without the bus nobody knows how far the machine is by now.
        assert (await api.get(f"/v1/installs/{install.id}")).json()["state"] == "ordered"
        async with nats_server(settings):
            found = await state_is(api, install.id, "stalled")
    assert "Nothing was heard of it" in found["reason"]
