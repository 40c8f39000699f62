"""An HTTP/1.1 client on real sockets, bound to the machine's address: one connection a request, as boot firmware does.

No redirects are followed: what a machine is told must be where the file is.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from urllib.parse import SplitResult, urlsplit

import h11

from libs.simulator.errors import FailureKind, TransferError
from libs.simulator.net.download import Download, Sink
from libs.simulator.net.link import Link
from libs.simulator.options import Timing

_CHUNK = 64 * 1024
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


@dataclass(frozen=True)
class Response:
    """A whole response. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    download: Download

    @property
    def content(self) -> bytes:
        """The body, as far as it was kept."""
        return self.download.content


@dataclass
class HttpClient:
    """One machine's client."""

    local: IPv4Address
    link: Link
    timing: Timing
    agent: str = "iPXE/1.0.0+"
    headers: Mapping[str, str] = field(default_factory=dict)  # sent with every request

    async def get(
        self,
        url: str,
        *,
        keep: int = 0,
        abort_at: float | None = None,
        span: tuple[int, int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Fetch a file, or the octets `span` (first, last) of it.

        Raises TransferError: missing (404, 410), refused (other refusals), timed_out, broken, aborted.
        """
        more = dict(headers or {})
        if span is not None:
            more["Range"] = f"bytes={span[0]}-{span[1]}"
        response = await self.request("GET", url, keep=keep, abort_at=abort_at, headers=more)
        wanted = 206 if span else 200
        if response.status != wanted:
            raise TransferError(f"{url}: HTTP {response.status}", _kind(response.status))
        return response

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        keep: int = 0,
        abort_at: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request and its whole response, whatever its status. Raises TransferError where none comes."""
        target = _target(url)
        try:
            async with self._connection(target) as (reader, writer):
                exchange = _Exchange(reader, writer, self.timing.scaled(self.timing.http_timeout))
                await exchange.send(method, target, {**self.headers, "User-Agent": self.agent, **(headers or {})}, body)
                response = await exchange.receive(Sink(url, keep, abort_at))
        except TimeoutError as error:
            raise TransferError(f"{url}: the HTTP server does not answer", "timed_out") from error
        except ConnectionRefusedError as error:
            raise TransferError(f"{url}: connection refused", "timed_out") from error
        except (OSError, h11.ProtocolError, ValueError) as error:
            raise TransferError(f"{url}: {error or type(error).__name__}", "broken") from error
        self.link.received += response.download.size
        return response

    @asynccontextmanager
    async def _connection(
        self, target: SplitResult
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(self.timing.scaled(self.timing.http_timeout)):
            reader, writer = await asyncio.open_connection(
                target.hostname, target.port or 80, local_addr=(str(self.local), 0)
            )
        try:
            yield reader, writer
        finally:
            writer.close()


class _Exchange:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout = timeout
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, method: str, target: SplitResult, headers: Mapping[str, str], body: bytes) -> None:
        """The request."""
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        fields = [("Host", target.netloc), ("Connection", "close"), *headers.items()]
        if body or method in ("POST", "PUT"):
            fields.append(("Content-Length", str(len(body))))
        for event in (h11.Request(method=method, target=path, headers=fields), h11.Data(body), h11.EndOfMessage()):
            self._writer.write(self._http.send(event) or b"")
        async with asyncio.timeout(self._timeout):
            await self._writer.drain()

    async def receive(self, sink: Sink) -> Response:
        """The response, its body through `sink`."""
        head: h11.Response | None = None
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                head = event
                sink.total = _length(event)
            elif isinstance(event, h11.Data):
                sink.write(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
                return Response(head.status_code, headers, sink.done())
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("the connection was closed without a response")

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._timeout):
                self._http.receive_data(await self._reader.read(_CHUNK))
        return event


def _target(url: str) -> SplitResult:
    """Raises TransferError for other than plain HTTP, and for names: simulated machines ask no name server."""
    try:
        target = urlsplit(url)
        usable = target.scheme == "http" and target.hostname and target.port != 0
    except ValueError:
        usable = False
    if not usable or any(not 33 <= ord(letter) <= 126 for letter in url):
        raise TransferError(f"{url[:200]!r} is no address that HTTP could fetch", "broken")
    if target.hostname != "localhost" and not _ADDRESS.fullmatch(target.hostname or ""):
        raise TransferError(f"{url[:200]}: simulated machines resolve no names; give an IPv4 address", "broken")
    return target


def _length(response: h11.Response) -> int | None:
    return next((int(value) for name, value in response.headers if name == b"content-length"), None)


def _kind(status: int) -> FailureKind:
    if status in (404, 410):
        return "missing"
    return "broken" if status >= 500 or status < 400 else "refused"
