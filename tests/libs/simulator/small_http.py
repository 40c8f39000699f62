"""A small HTTP server for the clients' tests: GET with Range, POST, answers by plan, and a record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: str


@dataclass
class SmallHttp:
    """What it serves, which statuses it gives first (by path, taken one by one), and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    ignores_range: bool = False
    url: str = ""

    def asked(self, method: str = "GET") -> list[str]:
        """The paths of the requests with this method."""
        return [request.path for request in self.requests if request.method == method]


@asynccontextmanager
async def small_http(host: str = "127.0.0.1") -> AsyncIterator[SmallHttp]:
    """A running server on a free port."""
    state = SmallHttp()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            state.requests.append(request := await _read(reader, writer))
            writer.write(_answer(state, request))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, host, 0)
    state.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield state


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, writer.get_extra_info("peername")[0])


def _answer(state: SmallHttp, request: Request) -> bytes:
    planned = state.statuses.get(request.path)
    if planned:
        return _response(planned.pop(0), b"")
    if request.method == "POST":
        return _response(200, b'{"status": "ok"}')
    content = state.files.get(request.path.partition("?")[0])
    if content is None:
        return _response(404, b"not found")
    asked = request.headers.get("range")
    if asked is None or state.ignores_range:
        return _response(200, content)
    first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
    last = min(last, len(content) - 1)
    return _response(206, content[first : last + 1], f"Content-Range: bytes {first}-{last}/{len(content)}\r\n")


def _response(status: int, body: bytes, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body
