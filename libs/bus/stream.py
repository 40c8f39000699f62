"""The event stream: its shape, and how it is read in batches without waiting for a full one."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError
from structlog.typing import FilteringBoundLogger

from libs.bus.errors import BusUnavailable

if TYPE_CHECKING:
    from libs.bus.connection import Bus

NAME = "KICKFLEET_EVENTS"
SUBJECTS = "kickfleet.events.>"
DUPLICATE_WINDOW = 120.0  # seconds in which the server itself drops an id that it has seen
ACK_WAIT = 30.0  # seconds after which an unacknowledged batch is delivered again
RETRY = 0.5  # seconds before reading starts over
PULL_EXPIRES = 5.0  # seconds that a pull request stays open at the server

FAULTS = (BusUnavailable, NatsError, JetStreamError, OSError, TimeoutError, asyncio.TimeoutError)


@dataclass(frozen=True)
class Message:
    """One stored event: its place in the stream, and the CloudEvents document as it was published."""

    seq: int
    subject: str
    data: bytes
    delivered: int = 1


async def ensure(jetstream: JetStreamContext) -> None:
    """Create the stream where it is missing. An old event is never discarded for a new one: the spools wait."""
    try:
        await jetstream.stream_info(NAME)
    except NotFoundError:
        await jetstream.add_stream(
            StreamConfig(
                name=NAME,
                subjects=[SUBJECTS],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                duplicate_window=DUPLICATE_WINDOW,
            )
        )


async def consume(
    bus: "Bus",
    durable: str,
    handler: Callable[[list[Message]], Awaitable[None]],
    batch: int,
    log: FilteringBoundLogger,
) -> None:
    """Hand the stream to `handler` in its order, from where the durable consumer stands, for ever.

    A batch is acknowledged when the handler returns; when it raises, everything from that batch on comes again.
    """
    while True:
        await bus.wait_connected()
        try:
            await _stand_ready(bus, durable)
            await _consume_connected(bus, durable, handler, batch)
        except FAULTS as error:
            log.debug("reading the stream starts over", durable=durable, error=str(error))
            await asyncio.sleep(RETRY)


async def _stand_ready(bus: "Bus", durable: str) -> None:
    """The durable consumer, with nothing under way.

    What was delivered to a reader that died would come again only after the server's patience, behind what is newer.
    A consumer that begins behind the last acknowledgement brings it at once and in order.
    """
    config = ConsumerConfig(
        durable_name=durable,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        ack_wait=ACK_WAIT,
        max_ack_pending=10_000,
    )
    try:
        info = await bus.jetstream.consumer_info(NAME, durable)
        if not info.num_ack_pending:
            return
        first = info.ack_floor.stream_seq + 1 if info.ack_floor else 1
        config = config.evolve(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first)
        await bus.jetstream.delete_consumer(NAME, durable)
    except NotFoundError:
        pass
    await bus.jetstream.add_consumer(NAME, config)


async def _consume_connected(
    bus: "Bus", durable: str, handler: Callable[[list[Message]], Awaitable[None]], batch: int
) -> None:
    pull = await _Pull.open(bus, durable, batch)
    try:
        while True:
            messages = await pull.some()
            if messages:
                await handler([_read(message) for message in messages])
            for message in messages:
                await message.ack()
    finally:
        await pull.close()


class _Pull:
    """An open pull request: takes what is there as soon as anything is (the library's fetch waits for a full batch)."""

    def __init__(self, bus: "Bus", subscription: Subscription, subject: str, batch: int) -> None:
        self._bus = bus
        self._subscription = subscription
        self._subject = subject
        self._batch = batch
        self._wanted = 0

    @classmethod
    async def open(cls, bus: "Bus", durable: str, batch: int) -> "_Pull":
        inbox = bus.client.new_inbox()
        subscription = await bus.client.subscribe(inbox)
        return cls(bus, subscription, f"$JS.API.CONSUMER.MSG.NEXT.{NAME}.{durable}", batch)

    async def close(self) -> None:
        with contextlib.suppress(*FAULTS):
            await self._subscription.unsubscribe()

    async def some(self) -> list[Msg]:
        """At least one message, or none when the request ran out."""
        if self._wanted <= 0:
            await self._ask()
        try:
            first = await self._subscription.next_msg(timeout=PULL_EXPIRES + 1)
        except TimeoutError:
            self._wanted = 0
            return []
        messages = [first]
        while len(messages) < self._batch and self._subscription.pending_msgs:
            messages.append(await self._subscription.next_msg(timeout=1))
        return [message for message in messages if self._counts(message)]

    async def _ask(self) -> None:
        self._wanted = self._batch
        request = {"batch": self._batch, "expires": int(PULL_EXPIRES * 1e9)}
        await self._bus.client.publish(self._subject, json.dumps(request).encode(), reply=self._subscription.subject)

    def _counts(self, message: Msg) -> bool:
        """Whether it is an event; a status (the request expired, the consumer moved) ends the request instead."""
        if message.headers and "Status" in message.headers:
            self._wanted = 0
            return False
        self._wanted -= 1
        return True


def _read(message: Msg) -> Message:
    meta = message.metadata
    return Message(meta.sequence.stream, message.subject, message.data, meta.num_delivered)


async def read(bus: "Bus", first: int, last: int) -> AsyncIterator[Message]:
    """The events from `first` to `last`; sequences that the stream does not hold are passed over."""
    try:
        for seq in range(first, last + 1):
            with contextlib.suppress(NotFoundError):
                stored = await bus.jetstream.get_msg(NAME, seq=seq, direct=False)
                yield Message(seq, str(stored.subject), stored.data or b"")
    except (NatsError, JetStreamError, OSError, TimeoutError) as error:
        raise BusUnavailable(f"the stream could not be read: {error}") from error
