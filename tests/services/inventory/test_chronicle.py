"""The fold into a real database: any order, any repetition, any batches make the same history and the same state."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.envelope import Event
from libs.events import (
    InstallDone,
    InstallProgress,
    KernelFetched,
    LeaseAcknowledged,
    LeaseExpired,
    LeaseOffered,
    MachineUnknown,
)
from services.inventory.lifecycle import Life
from services.inventory.repository import events as history
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository.database import Database
from services.inventory.repository.events import Filter
from tests.services.inventory.book import DERIVED, Book, Told
from tests.services.inventory.support import START, journey, mac_of


@pytest.fixture
def book(database: Database) -> Book:
    return Book(database)


async def test_an_event_names_what_it_can_and_the_rest_is_found_out(book: Book) -> None:
    await book.declare()
    (install,) = await book.order("node01")
    await book.tell(journey(1, START))
    found = await book.install(install.id)
    assert found.state == "booted"
    assert found.token is None
    shape = await book.shape(install.id)
    told = [item for item in shape.items if item.event["type"] not in DERIVED]
    assert len(told) == 1 + 15
    assert all(item.event["data"]["mac"] == mac_of(1) for item in told)
    assert [span.state for span in shape.states] == list(found.life.reached)
    assert all(span.seconds is not None for span in shape.states[:-1])


async def test_a_redelivered_batch_changes_nothing(book: Book) -> None:
    await book.declare()
    (install,) = await book.order("node01")
    events = list(journey(1, START))
    await book.tell(events)
    before = (await book.install(install.id), await book.told(install.id), await book.shape(install.id))
    book.sequence = 0
    await book.tell(events)
    await book.tell(events[::-1])
    assert before == (await book.install(install.id), await book.told(install.id), await book.shape(install.id))


async def test_the_lease_that_comes_after_the_fetch_still_tells_whose_it_was(book: Book) -> None:
    await book.declare()
    (install,) = await book.order("node01")
    events = list(journey(1, START))
    kernel = next(event for event in events if isinstance(event, KernelFetched))
    await book.tell([kernel])
    assert (await book.install(install.id)).state == "ordered"
    await book.tell(events[:2])
    assert (await book.install(install.id)).state == "kernel"


async def test_an_address_belongs_to_who_had_it_at_that_time(book: Book) -> None:
    await book.declare()
    one, two = await book.order("node01", "node02")
    lease: dict[str, Any] = {"ip": "10.77.9.9", "subnet": "rack1", "client": "pxe"}
    at = [START + timedelta(seconds=seconds) for seconds in range(20)]
    await book.tell(
        [
            LeaseAcknowledged(**lease, mac=mac_of(1), time=at[1]),
            LeaseExpired(**lease, mac=mac_of(1), time=at[5]),
            KernelFetched(ip="10.77.9.9", path="k", id="between", time=at[6]),
            KernelFetched(ip="10.77.9.9", path="k", id="late", time=at[9]),
        ]
    )
    assert "late" not in {event for event, _, _ in [*await book.told(one.id), *await book.told(two.id)]}
    await book.tell([LeaseAcknowledged(**lease, mac=mac_of(2), time=at[8])])
    assert "late" in {event for event, _, _ in await book.told(two.id)}
    assert (await book.install(one.id)).state == "leased"
    assert (await book.install(two.id)).state == "kernel"


async def test_installs_of_a_machine_are_never_mixed(book: Book) -> None:
    await book.declare()
    (first,) = await book.order("node01")
    await book.tell(list(journey(1, START))[:5])
    await book.cancel(first, after=100)
    (second,) = await book.order("node01", after=200)
    late = LeaseOffered(mac=mac_of(1), subnet="rack1", client="pxe", time=START + timedelta(seconds=50))
    between = replace(late, id="between", time=START + timedelta(seconds=150))
    await book.tell([late, between, *journey(1, START + timedelta(seconds=300))])
    assert (await book.install(first.id)).state == "cancelled"
    assert (await book.install(second.id)).state == "booted"
    assert late.id in {event for event, _, _ in await book.told(first.id)}
    everything = {event for install in (first, second) for event, _, _ in await book.told(install.id)}
    assert "between" not in everything


async def test_what_was_seen_of_hardware_before_it_was_registered_joins_its_history(book: Book) -> None:
    await book.tell([MachineUnknown(mac=mac_of(2), subnet="rack1", time=START)])
    await book.declare()
    found = await book.ledger.read(lambda session: history.history(session, Filter(machine="node02"), 10))
    assert [entry.event.TYPE for entry in found] == ["machine.unknown"]


async def test_our_own_events_are_published_once_and_learn_their_place(book: Book) -> None:
    await book.declare(1)
    (install,) = await book.order("node01")
    ours = [event for effects in book.effects for event in effects.published]
    assert [event.TYPE for event in ours] == ["machine.registered", "install.ordered"]
    assert len(await book.ledger.read(history.unpublished)) == 2
    await book.tell(ours)
    assert await book.ledger.read(history.unpublished) == []
    stored = [entry for effects in book.effects for entry in effects.stored]
    assert [(entry.seq, entry.event.TYPE) for entry in stored] == [(1, "machine.registered"), (2, "install.ordered")]
    await book.tell(ours)
    assert [entry for effects in book.effects for entry in effects.stored] == stored
    assert (await book.install(install.id)).state == "ordered"


async def test_progress_is_kept_and_shown(book: Book) -> None:
    await book.declare(1)
    (install,) = await book.order("node01")
    about: dict[str, Any] = {"mac": mac_of(1), "install_id": install.id}
    await book.tell([InstallProgress(**about, percent=42.5, phase="packages", time=START + timedelta(seconds=9))])
    found = await book.install(install.id)
    assert (found.state, found.life.percent, found.life.message) == ("installing", 42.5, "packages")


async def test_the_machine_shows_the_state_of_its_latest_install(book: Book) -> None:
    await book.declare()
    (first,) = await book.order("node01")
    await book.cancel(first, after=1)
    (second,) = await book.order("node01", after=2)
    await book.tell([InstallDone(mac=mac_of(1), install_id=first.id, time=START)])
    stored = (await book.ledger.read(stored_fleet.machines))["node01"]
    assert (stored.state, stored.install_id) == ("ordered", second.id)


# --- any order, any repetition, any batches ---------------------------------------------------------------------


def _batches(events: Sequence[Event], random: Random) -> Iterable[list[Event]]:
    again = [*events, *random.sample(events, len(events) // 3)]
    random.shuffle(again)
    while again:
        size = random.randint(1, 20)
        yield again[:size]
        again = again[size:]


def _history(start: datetime, faults: set[str]) -> list[Event]:
    """The journeys of three machines, two of which share an address one after the other."""
    events = [
        *journey(1, start),
        *journey(2, start + timedelta(milliseconds=300)),
        *journey(3, start + timedelta(seconds=4), step=7.0),
    ]
    shared = start + timedelta(seconds=200)
    for number in (1, 2):
        begin = shared + timedelta(seconds=20 * number)
        lease: dict[str, Any] = {"mac": mac_of(number), "ip": "10.77.9.77", "subnet": "rack1", "client": "pxe"}
        events.append(LeaseAcknowledged(**lease, time=begin))
        events.append(KernelFetched(ip="10.77.9.77", path="k", time=begin + timedelta(seconds=3)))
    return [event for event in events if event.TYPE not in faults]


async def _play(book: Book, batches: Iterable[Sequence[Event]], given: set[str], cancelled: bool) -> Any:
    """What comes of a history: of each install its life, and which of the given events are its own."""
    book = await book.emptied()
    await book.declare()
    ids = {install.machine: install.id for install in await book.order("node01", "node02", "node03")}
    if cancelled:
        await book.cancel(await book.install(ids["node03"]), after=30)
        (again,) = await book.order("node03", after=31)
        ids["node03 again"] = again.id
    for batch in batches:
        await book.tell(batch)
    return {name: await _outcome(book, id, given) for name, id in ids.items()}


async def _outcome(book: Book, id: str, given: set[str]) -> tuple[Life, list[Told]]:
    life = (await book.install(id)).life
    return replace(life, last=None), [told for told in await book.told(id) if told[0] in given]


faulty = st.sets(st.sampled_from(["lease.offered", "bootconfig.fetched", "install.done", "answers.fetched"]))


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(random=st.randoms(use_true_random=False), missing=faulty, cancelled=st.booleans())
async def test_any_order_repetition_and_batches_make_the_same_history(
    book: Book, random: Random, missing: set[str], cancelled: bool
) -> None:
    events = _history(START, missing)
    given = {event.id for event in events}
    in_order = await _play(book, [sorted(events, key=lambda event: event.time)], given, cancelled)
    shuffled = await _play(book, _batches(events, random), given, cancelled)
    assert shuffled == in_order
