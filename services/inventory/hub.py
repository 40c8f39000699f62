"""Hands every event to those who listen live, the moment it is committed. A listener that lags is let go."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from services.inventory.chronicle import Effects
from services.inventory.repository.events import Entry

MOST_LISTENERS = 256
MOST_WAITING = 2048  # events that a listener may lag behind; it can come back and resume where it was


class TooManyListeners(Exception):
    """No further listener is served."""


class Subscription:
    """One listener's queue. It ends when the listener lags too far, or the service stops."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Entry | None] = asyncio.Queue()
        self._open = True

    def offer(self, entry: Entry) -> None:
        """Put an event into the queue, if it has room."""
        if self._open and self._queue.qsize() >= MOST_WAITING:
            self.close()
        elif self._open:
            self._queue.put_nowait(entry)

    def close(self) -> None:
        """Let what waits be read, and nothing more."""
        self._open = False
        self._queue.put_nowait(None)

    async def entries(self, patience: float) -> AsyncIterator[Entry | None]:
        """Events as they come; None each time that none came for `patience` seconds."""
        while True:
            try:
                async with asyncio.timeout(patience):
                    entry = await self._queue.get()
            except TimeoutError:
                yield None
                continue
            if entry is None:
                return
            yield entry


class Hub:
    """Listens to transactions (`follow`)."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def follow(self, effects: Effects) -> None:
        """Hand out what a transaction stored."""
        for subscription in self._subscriptions:
            for entry in effects.stored:
                subscription.offer(entry)

    def check_room(self) -> None:
        """Raises TooManyListeners where there is no room for another one."""
        if len(self._subscriptions) >= MOST_LISTENERS:
            raise TooManyListeners(f"{MOST_LISTENERS} listeners are served already; try again later")

    @contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """A subscription, from now until left. Raises TooManyListeners."""
        self.check_room()
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every stream."""
        for subscription in self._subscriptions:
            subscription.close()
