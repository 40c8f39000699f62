"""One connection to the bus that is made, kept and made again in the background.

Nothing here waits for ever and nothing raises because the bus is away, except where a caller asks for an answer:
that is BusUnavailable. Every (re)connection counts up `generation`, by which the long-running users of the bus
notice that they must start over.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError, NoKeysError, NotFoundError
from nats.js.kv import KeyValue
from structlog.typing import FilteringBoundLogger

from libs.bus import stream
from libs.bus.bulk import BulkClient, Outgoing
from libs.bus.errors import BusUnavailable
from libs.bus.ledger import Ledger
from libs.bus.replica import Replica
from libs.bus.writer import Writer
from libs.desired import BUCKETS
from libs.tasks import end

RETRY = 0.25  # seconds between two attempts to reach the server
PATIENCE = 3.0  # seconds that a request may take
EMPTY_LOOKS = 3  # until an empty bucket is believed to be empty
ALL_PATIENCE = 30.0  # seconds that a whole bucket may take

FAULTS = (NatsError, JetStreamError, OSError, TimeoutError, asyncio.TimeoutError)

# Of a bucket (NATS ADR-8): what a key may be, and how one is removed.
_KEY = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_REMOVED = (b"KV-Operation", b"DEL")
_TO_JSON = json.JSONEncoder().encode

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Bus:
    """A connection for one service. `url` is asked anew for each attempt, as the server may move."""

    def __init__(self, url: Callable[[], str | None], name: str, log: FilteringBoundLogger) -> None:
        self._url = url
        self._name = name
        self._log = log
        self._client: BulkClient | None = None
        self._up = asyncio.Event()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._handlers: dict[str, Handler] = {}
        self._buckets: dict[str, tuple[BulkClient, KeyValue]] = {}  # and the connection that knows them so
        self._lost = asyncio.Event()  # this connection is gone
        self._answered: set[str] = set()  # of the handlers, those that this connection knows
        self.generation = 0

    # --- life -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._task = asyncio.create_task(self._keep_connected(), name="bus connection")

    async def stop(self) -> None:
        """Close the connection."""
        if self._task:
            await end(self._task)
        await self._drop()

    @property
    def connected(self) -> bool:
        """Whether the bus answered a moment ago."""
        return self._up.is_set()

    async def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until the bus is there, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def wait_lost(self, generation: int) -> None:
        """Return when the connection of that generation is gone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.generation != generation or not self._up.is_set())

    async def _keep_connected(self) -> None:
        while True:
            lost = self._lost = asyncio.Event()
            try:
                await self._connect(lost)
                await stream.ensure(self.jetstream)
                await self._ensure_buckets()
                await self._subscribe_handlers()
            except FAULTS as error:
                self._log.debug("the bus is not there yet", error=str(error) or type(error).__name__)
                await self._drop()
                await asyncio.sleep(RETRY)
                continue
            await self._turn(up=True)
            self._log.info("connected to the bus")
            await lost.wait()
            await self._turn(up=False)
            self._log.warning("the bus is away; events wait in the spool and machines are served from the replica")
            await self._drop()

    async def _connect(self, lost: asyncio.Event) -> None:
        url = self._url()
        if not url:
            raise OSError("no server has announced itself")

        self._answered.clear()
        self._buckets.clear()

        async def gone() -> None:
            lost.set()

        async def quiet(error: Exception) -> None:
            self._log.debug("the bus reports", error=str(error))

        client = BulkClient()
        await client.connect(
            servers=url.split(","),
            name=f"kickfleet-{self._name}",
            allow_reconnect=False,
            connect_timeout=2,
            reconnect_time_wait=0,
            max_reconnect_attempts=1,
            ping_interval=5,
            closed_cb=gone,
            disconnected_cb=gone,
            error_cb=quiet,
        )
        self._client = client

    async def _turn(self, *, up: bool) -> None:
        async with self._changed:
            if up:
                self.generation += 1
                self._up.set()
            else:
                self._up.clear()
            self._changed.notify_all()

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client and not client.is_closed:
            with contextlib.suppress(*FAULTS):
                await client.close()

    # --- what the parts of this room use --------------------------------------------------------------------

    @property
    def client(self) -> BulkClient:
        """The raw client. Raises BusUnavailable while there is none."""
        if self._client is None or not self._client.is_connected:
            if self.connected:
                self._lost.set()  # the library may miss a server that dies in the moment of connecting
            raise BusUnavailable("the bus is away")
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream on the raw client. Raises BusUnavailable."""
        return self.client.jetstream(timeout=PATIENCE)

    async def bucket(self, name: str) -> KeyValue:
        """A key-value bucket."""
        client, known = self.client, self._buckets.get(name)
        if known is None or known[0] is not client:
            with _as_unavailable():
                known = client, await client.jetstream(timeout=PATIENCE).key_value(name)
            self._buckets[name] = known
        return known[1]

    async def _ensure_buckets(self) -> None:
        for name in BUCKETS:
            try:
                await self.jetstream.key_value(name)
            except NotFoundError:
                await self.jetstream.create_key_value(KeyValueConfig(bucket=name, history=1, storage=StorageType.FILE))

    # --- desired state --------------------------------------------------------------------------------------

    def replica(self, bucket: str, path: Path, on_change: Callable[[str, dict[str, Any] | None], None]) -> Replica:
        """A persisted local copy of a bucket; what it holds already is told to `on_change` at once."""
        return Replica(self, bucket, path, on_change, self._log)

    def ledger(self, bucket: str) -> Ledger:
        """A bucket that several writers share, by compare-and-set."""
        return Ledger(self, bucket, self._log)

    def writer(self, bucket: str) -> Writer:
        """A writer that keeps at it until the bus has taken the latest value of each key."""
        return Writer(self, bucket)

    async def put(self, bucket: str, key: str, document: dict[str, Any]) -> None:
        """Write a document and wait until the bus has it. Raises BusUnavailable within a few seconds."""
        with _as_unavailable():
            async with asyncio.timeout(PATIENCE):
                await (await self.bucket(bucket)).put(key, json.dumps(document).encode())

    async def delete(self, bucket: str, key: str) -> None:
        """Remove a document. Raises BusUnavailable within a few seconds."""
        with _as_unavailable(), contextlib.suppress(KeyNotFoundError):
            async with asyncio.timeout(PATIENCE):
                await (await self.bucket(bucket)).delete(key)

    async def put_all(self, bucket: str, documents: Mapping[str, dict[str, Any] | None]) -> None:
        """Write several documents, None to remove one, and wait until the bus has all of them.

        Raises BusUnavailable within a few seconds: any of them may be written then. ValueError for a key that is none.
        """
        messages = [_change(bucket, key, document) for key, document in documents.items()]
        with _as_unavailable():
            await self.client.publish_all(messages, PATIENCE)

    async def keys(self, bucket: str) -> list[str]:
        """The keys that a bucket holds. Raises BusUnavailable."""
        with _as_unavailable():
            try:
                return await (await self.bucket(bucket)).keys()
            except NoKeysError:
                return []

    async def get_all(self, bucket: str) -> dict[str, dict[str, Any]]:
        """Every document of a bucket, in one go. Raises BusUnavailable."""
        # nats-py may say "that was all" before the first entry, where entries are on their way to it already.
        for _ in range(EMPTY_LOOKS):
            if documents := await self._look_at_all(bucket):
                return documents
        return {}

    async def _look_at_all(self, bucket: str) -> dict[str, dict[str, Any]]:
        documents = {}
        with _as_unavailable():
            async with asyncio.timeout(ALL_PATIENCE):
                # The server forgets a reader that is gone after this time; the library would leave it for 5 minutes.
                watcher = await (await self.bucket(bucket)).watchall(ignore_deletes=True, inactive_threshold=1)
                try:
                    while entry := await anext(watcher):
                        documents[entry.key] = json.loads(entry.value or b"{}")
                finally:
                    await watcher.stop()
        return documents

    # --- events ---------------------------------------------------------------------------------------------

    async def consume(
        self, durable: str, handler: Callable[[list[stream.Message]], Awaitable[None]], *, batch: int = 256
    ) -> None:
        """Hand every event of the stream to `handler`, in batches and in order, for ever; see stream.consume."""
        await stream.consume(self, durable, handler, batch, self._log)

    async def acknowledged(self, durable: str) -> int:
        """The sequence up to which a durable consumer has acknowledged all; 0: nothing yet. Raises BusUnavailable."""
        with _as_unavailable():
            try:
                info = await self.jetstream.consumer_info(stream.NAME, durable)
            except NotFoundError:
                return 0
            return int(info.ack_floor.stream_seq) if info.ack_floor else 0

    async def last_sequence(self) -> int:
        """The sequence of the newest event. Raises BusUnavailable."""
        with _as_unavailable():
            return int((await self.jetstream.stream_info(stream.NAME)).state.last_seq)

    def read(self, first: int, last: int) -> AsyncIterator[stream.Message]:
        """The events from one sequence to another, both included. Raises BusUnavailable."""
        return stream.read(self, first, last)

    # --- questions ------------------------------------------------------------------------------------------

    async def respond(self, subject: str, handler: Handler) -> None:
        """Answer requests on a subject, from now on and after every reconnection."""
        self._handlers[subject] = handler
        if self._client is not None:  # also while the connection is still being set up
            with contextlib.suppress(BusUnavailable, *FAULTS):
                await self._subscribe_handlers()

    async def request(self, subject: str, payload: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Ask, and wait for the answer. Raises BusUnavailable when none comes in time."""
        with _as_unavailable():
            reply = await self.client.request(subject, json.dumps(payload).encode(), timeout=timeout)
            answer: dict[str, Any] = json.loads(reply.data)
            return answer

    async def _subscribe_handlers(self) -> None:
        for subject, handler in list(self._handlers.items()):
            if subject not in self._answered:
                client = self.client
                await self._subscribe(subject, handler)
                # Known only now: a subscription that is under way elsewhere may fail. Twice is once, in a queue group.
                if client is self._client:
                    self._answered.add(subject)

    async def _subscribe(self, subject: str, handler: Handler) -> None:
        async def answer(message: Msg) -> None:
            try:
                question = json.loads(message.data)
            except ValueError:
                await message.respond(b'{"error": "the request is not JSON"}')
                return
            await message.respond(json.dumps(await handler(question)).encode())

        await self.client.subscribe(subject, queue=self._name, cb=answer)
        await self.client.flush()  # answered from now on, not from some moment on


def _change(bucket: str, key: str, document: dict[str, Any] | None) -> Outgoing:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} cannot be the key of a document")
    subject = f"$KV.{bucket}.{key}".encode()
    if document is None:
        return Outgoing(subject, _REMOVED, b"")
    return Outgoing(subject, None, _TO_JSON(document).encode())


@contextlib.contextmanager
def _as_unavailable() -> Any:
    try:
        yield
    except FAULTS as error:
        raise BusUnavailable(f"the bus did not answer: {str(error) or type(error).__name__}") from error
