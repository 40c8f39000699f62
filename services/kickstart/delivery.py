"""Sends one HTTP response and finds out whether it arrived: whether the client has acknowledged its last octet."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from libs.connection import Mark, connection_of
from libs.status import Receive, Scope, Send

POLL = (0.002, 0.1)  # seconds between two looks at what is acknowledged: the first, and the longest


@dataclass(frozen=True)
class Response:
    """What is to be sent. `length` is the body's, also where a HEAD request gets none of it; None: not to be told."""

    status: int
    headers: Sequence[tuple[str, str]]
    length: int | None
    body: AsyncIterator[bytes] | None = None


@dataclass(frozen=True)
class Delivery:
    """What became of it: octets sent, whether all of them arrived, and how long that took."""

    sent: int
    arrived: bool
    seconds: float


async def whole(body: bytes) -> AsyncIterator[bytes]:
    """A body that is at hand."""
    yield body


async def deliver(response: Response, scope: Scope, receive: Receive, send: Send) -> Delivery | None:
    """Send a response as an ASGI application does; None where it has no body to arrive.

    A body that ends early ends the connection, so that the client does not take it for whole.
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
    gone = asyncio.create_task(_disconnected(receive))
    try:
        sent = await _send_body(response.body, send, gone)
    finally:
        gone.cancel()
    if sent < (response.length or 0):
        return Delivery(sent, False, loop.time() - began)
    mark = connection.mark() if connection else None
    await send({"type": "http.response.body", "body": b""})
    arrived = await _arrived(mark) if mark else connection is None and not gone.done()
    return Delivery(sent, arrived, loop.time() - began)


async def _send_body(body: AsyncIterator[bytes], send: Send, gone: "asyncio.Task[None]") -> int:
    sent = 0
    async for chunk in body:
        if gone.done():
            break
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        sent += len(chunk)
    return sent


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
