"""Bounds on what clients may have, on a clock given by hand."""

import asyncio
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from services.tftp.deadlines import Deadlines
from services.tftp.limits import Allowance, Recent
from services.tftp.roundtrip import FIRST, LEAST, MOST, RoundTrip


def test_an_allowance_is_spent_and_comes_back() -> None:
    allowance = Allowance(burst=3, seconds=10)
    assert [allowance.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take("b", 0.0)
    assert not allowance.take("a", 9.0)
    assert allowance.take("a", 10.0)
    assert not allowance.take("a", 10.0)
    assert [allowance.take("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_what_is_recent_is_forgotten_in_time() -> None:
    recent = Recent(5.0)
    assert not recent.has("a", 0.0)
    assert not recent.add("a", 0.0)
    assert recent.has("a", 4.9)
    assert recent.add("a", 4.9)
    assert not recent.has("a", 9.9)


def test_memories_are_bounded() -> None:
    recent, allowance = Recent(5.0), Allowance(1, 10)
    for at in range(10_000):
        recent.add(at, 0.0)
        allowance.take(at, 0.0)
    assert recent.has(9_999, 1.0)
    assert not recent.has(0, 1.0)
    assert allowance.take(0, 1.0)
    assert not allowance.take(9_999, 1.0)


@given(st.lists(st.one_of(st.none(), st.floats(0, 20))))
def test_the_wait_is_always_bounded(story: list[float | None]) -> None:
    trip = RoundTrip()
    assert trip.wait == FIRST
    for seconds in story:
        if seconds is None:
            trip.back_off()
        else:
            trip.measure(seconds)
        assert LEAST <= trip.wait <= MOST


def test_one_pause_among_many_quick_answers_is_remembered_for_a_while() -> None:
    trip = RoundTrip()
    for seconds in (0.001, 0.05, *[0.001] * 100):
        trip.measure(seconds)
    assert trip.wait > 0.05
    for _ in range(2000):
        trip.measure(0.001)
    assert trip.wait < 0.05


def test_the_wait_settles_above_a_steady_round_trip() -> None:
    trip = RoundTrip()
    for _ in range(200):
        trip.measure(0.1)
    assert 0.1 + LEAST <= trip.wait < 0.15
    trip.back_off()
    assert 0.2 + LEAST <= trip.wait < 0.3


class Item:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.scheduled = inf


async def test_deadlines_are_kept_in_order_though_they_move() -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    called: list[Item] = []
    done = asyncio.Event()
    late, moved, early = Item(now + 0.06), Item(now + 0.01), Item(now + 0.5)

    def expire(item: Item) -> None:
        assert loop.time() >= item.deadline
        called.append(item)
        item.deadline = inf
        if len(called) == 3:
            done.set()

    deadlines = Deadlines(loop, expire)
    for item in (late, moved, early):
        deadlines.watch(item)
    moved.deadline = now + 0.09  # later: nobody is told
    early.deadline = now + 0.03
    deadlines.watch(early)
    await asyncio.wait_for(done.wait(), 30)
    assert called == [early, late, moved]
    deadlines.close()


async def test_a_deadline_that_comes_nearer_again_and_again_is_kept_once() -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    calls: list[float] = []
    last, item = Item(now + 0.06), Item(now + 0.05)

    def expire(expired: Item) -> None:
        if expired is last:
            done.set()
        else:
            calls.append(loop.time())
        expired.deadline = inf if expired is last else loop.time() + 60

    done = asyncio.Event()
    deadlines = Deadlines(loop, expire)
    for at in range(40):
        item.deadline = now + 0.05 - at / 1000
        deadlines.watch(item)
    deadlines.watch(last)
    await asyncio.wait_for(done.wait(), 30)
    assert len(calls) == 1
    assert deadlines.waiting == 1
    deadlines.close()
