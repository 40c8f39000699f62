"""One timer for all transfers: a heap of moments. An acknowledgement moves a deadline without touching the heap."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Something with a deadline that may move. `scheduled` belongs to Deadlines, and begins as infinity."""

    scheduled: float

    @property
    def deadline(self) -> float:
        """When it wants to be called, in the loop's time; infinity for never again."""


Item = TypeVar("Item", bound=Waiting)


class Deadlines(Generic[Item]):
    """Calls `expire(item)` once an item's deadline has passed, and watches on if it has a new one then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[Item], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._heap: list[tuple[float, int, Item]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Moments to come, those included that an earlier one took the place of."""
        return len(self._heap)

    def watch(self, item: Item) -> None:
        """The item's deadline is new, or earlier than before. A later one needs no call."""
        if item.deadline < item.scheduled:
            item.scheduled = item.deadline
            heapq.heappush(self._heap, (item.scheduled, next(self._order), item))
            self._arm()

    def close(self) -> None:
        """Call nobody any more."""
        self._heap.clear()
        if self._timer:
            self._timer.cancel()

    def _arm(self) -> None:
        if not self._heap:
            return
        if self._timer:
            if self._timer.when() <= self._heap[0][0]:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._heap[0][0], self._run)

    def _run(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._heap and self._heap[0][0] <= now:
            moment, _, item = heapq.heappop(self._heap)
            if moment != item.scheduled:
                continue  # an earlier moment took this one's place
            item.scheduled = inf
            if item.deadline <= now:
                self._expire(item)
            self.watch(item)
        self._arm()
