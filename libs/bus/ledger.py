"""A key-value bucket that several writers share: compare-and-set by revision, and a watch that tells revisions."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from structlog.typing import FilteringBoundLogger

from libs.bus.errors import BusUnavailable, ConflictError
from libs.bus.replica import next_entry

if TYPE_CHECKING:
    from libs.bus.connection import Bus

PATIENCE = 2.0  # seconds that the bus may take to answer
RETRY = 0.1
FAULTS = (NatsError, JetStreamError, OSError, TimeoutError, asyncio.TimeoutError)
GONE = ("DEL", "PURGE")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key holds. `document` None: it was deleted. A key that never was has revision 0."""

    key: str
    document: dict[str, Any] | None
    revision: int


class Ledger:
    """One bucket. The order of its revisions is the order in which every follower sees the changes."""

    def __init__(self, bus: "Bus", bucket: str, log: FilteringBoundLogger) -> None:
        self._bus = bus
        self._bucket = bucket
        self._log = log

    async def compare_and_put(self, key: str, document: dict[str, Any], revision: int) -> int:
        """Write where the key's latest revision is this one; returns the new revision.

        Raises ConflictError where somebody else has written since, BusUnavailable where it is not known what happened.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                bucket = await self._bus.bucket(self._bucket)
                return await bucket.update(key, json.dumps(document).encode(), last=revision)
        except KeyWrongLastSequenceError as error:
            raise ConflictError(f"{key} in {self._bucket} has changed") from error
        except FAULTS as error:
            raise _unavailable(error) from error

    async def get(self, key: str) -> Entry:
        """The latest of a key. Raises BusUnavailable."""
        try:
            async with asyncio.timeout(PATIENCE):
                return _entry(await (await self._bus.bucket(self._bucket)).get(key))
        except KeyNotFoundError as error:
            return Entry(key, None, int(error.entry.revision or 0) if error.entry else 0)
        except FAULTS as error:
            raise _unavailable(error) from error

    async def delete(self, key: str) -> None:
        """Remove a key. Raises BusUnavailable."""
        await self._bus.delete(self._bucket, key)

    async def follow(self, tell: Callable[[Entry | None], None], lost: Callable[[], None]) -> None:
        """Tell every entry that the bucket holds, None at their end, and then each change; for ever.

        `lost` is called when the connection has gone; all is told anew after it is back.
        """
        while True:
            await self._bus.wait_connected()
            try:
                await self._follow_connected(tell)
            except (BusUnavailable, *FAULTS) as error:
                self._log.debug("following a bucket starts over", bucket=self._bucket, error=str(error))
                await asyncio.sleep(RETRY)
            lost()

    async def _follow_connected(self, tell: Callable[[Entry | None], None]) -> None:
        generation = self._bus.generation
        watcher = await (await self._bus.bucket(self._bucket)).watchall()
        lost = asyncio.create_task(self._bus.wait_lost(generation))
        try:
            while not lost.done():
                entry = await next_entry(watcher, lost)
                if not lost.done():
                    tell(_entry(entry) if entry else None)
        finally:
            lost.cancel()
            with contextlib.suppress(*FAULTS):
                await watcher.stop()


def _entry(entry: KeyValue.Entry) -> Entry:
    document = None if entry.operation in GONE else _document(entry.value)
    return Entry(entry.key, document, int(entry.revision or 0))


def _document(value: bytes | None) -> dict[str, Any]:
    """A value that is no document reads as an empty one, which its reader refuses by name."""
    try:
        document = json.loads(value or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _unavailable(error: BaseException) -> BusUnavailable:
    return BusUnavailable(f"the bus did not answer: {str(error) or type(error).__name__}")
