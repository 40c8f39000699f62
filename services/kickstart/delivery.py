"""Sends one HTTP response and finds out whether it arrived: whether the client has acknowledged its last octet."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from libs.connection import Connection, Mark, connection_of
from libs.status import Scope, Send

POLL = (0.002, 0.1)  # seconds between two looks at what is acknowledged: the first, and the longest


@dataclass(frozen=True)
class FilePart:
    """The octets of a file from `start` to `end`."""

    file: Path
    start: int
    end: int


@dataclass(frozen=True)
class Response:
    """What is to be sent. `length` is the body's, also where a HEAD request gets none of it; None: not to be told."""

    status: int
    headers: Sequence[tuple[str, str]]
    length: int | None
    body: bytes | FilePart | None = None


@dataclass(frozen=True)
class Delivery:
    """What became of it: octets sent, whether all of them arrived, and how long that took."""

    sent: int
    arrived: bool
    seconds: float


async def deliver(response: Response, scope: Scope, send: Send) -> Delivery | None:
    """Send a response as an ASGI application does; None where it has no body to arrive.

    A body that ends early ends the connection, so that the client does not take it for whole. Raises RuntimeError under
    another server than ours.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    length = [] if response.length is None else [("content-length", str(response.length))]
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in [*response.headers, *length]]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if scope["method"] == "HEAD" or response.body is None:
        await send({"type": "http.response.body", "body": b""})
        return None
    connection = connection_of(scope)
    if connection is None:
        raise RuntimeError("the HTTP server does not tell on which connection a request came")
    sent = await _send_body(response.body, connection, send)
    if sent < (response.length or 0):
        return Delivery(sent, False, loop.time() - began)
    mark = connection.mark()
    await send({"type": "http.response.body", "body": b""})
    arrived = await _arrived(mark) if mark else not connection.tells and not connection.transport.is_closing()
    return Delivery(sent, arrived, loop.time() - began)


async def _send_body(body: bytes | FilePart, connection: Connection, send: Send) -> int:
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": body, "more_body": True})
        return len(body)
    try:
        file = await asyncio.to_thread(FileIO, body.file)
    except OSError:
        return 0
    with file:
        return await connection.send_file(file, body.start, body.end)


async def _arrived(mark: Mark) -> bool:
    """Wait until the client has acknowledged what was sent before the mark, whatever the connection does next."""
    pause, longest = POLL
    try:
        while not mark.reached and not mark.lost:
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)
        return mark.reached
    finally:
        mark.close()
