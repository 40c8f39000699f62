"""The inventory service's API as verbs use it: HTTP with a token, problems as messages, streams without gaps."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from libs.settings import Settings
from services.cli.errors import CliError, Failed, WrongUse
from services.cli.sse import Parser
from services.cli.supervisor.readiness import reachable
from services.cli.supervisor.runfiles import announced

TOKEN_VARIABLE = "KICKFLEET_TOKEN"
PATIENCE = 30.0  # seconds that an answer may take
STREAM_PATIENCE = 45.0  # seconds without a word, not even a comment, after which a stream is taken for dead
RECONNECT = 0.5  # seconds before a broken stream is opened again, unless the server asks for another time
PAGE = 500

Document = dict[str, Any]


def base_url(settings: Settings) -> str:
    """Where the API is: as configured, else where inventory says that it listens, else where it would."""
    if settings.inventory.url:
        return settings.inventory.url.rstrip("/")
    return f"http://{reachable(announced(settings, 'inventory') or settings.inventory.listen)}"


def token_file(settings: Settings) -> Path:
    """Where inventory's first start leaves the admin token."""
    return settings.data / "admin.token"


def _token(settings: Settings) -> str | None:
    if given := os.environ.get(TOKEN_VARIABLE):
        return given.strip()
    try:
        return token_file(settings).read_text("utf-8").strip()
    except OSError:
        return None


@dataclass
class _Place:
    """How far a stream was read, over all its connections."""

    after: str
    connected: bool = False
    pause: float = RECONNECT


class Api:
    """An open client; use it with `async with`. Every method raises Failed or WrongUse with a message for people."""

    def __init__(self, settings: Settings) -> None:
        self.url = base_url(settings)
        self._settings = settings
        token = _token(settings)
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=PATIENCE,
            trust_env=bool(settings.inventory.url),
        )

    async def __aenter__(self) -> "Api":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        """A document."""
        return await self.call("GET", path, params=_given(query))

    async def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """The answer to an order."""
        return await self.call("POST", path, json=body, params=_given(query))

    async def find(self, path: str) -> Any:
        """A document; None where there is none."""
        answer = await self._ask("GET", path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._read(answer)

    async def call(self, method: str, path: str, **request: Any) -> Any:
        """Any request; the answer as JSON."""
        return self._read(await self._ask(method, path, **request))

    async def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return await self._client.request(method, path, **request)
        except httpx.InvalidURL as error:
            raise WrongUse(f"`inventory.url` is no address: {error}") from None
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def _read(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise self._refused(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise Failed(f"what answers at {self.url} is not kickfleet's inventory") from None

    async def pages(self, path: str, **query: Any) -> AsyncIterator[Document]:
        """Every item of a collection."""
        cursor: str | None = None
        while True:
            page = await self.get(path, **{"limit": PAGE, **query}, cursor=cursor)
            for item in page["items"]:
                yield item
            cursor = page["next"]
            if not cursor:
                return

    async def stream(
        self,
        *,
        since: str | None = None,
        after: str | int | None = None,
        on_break: Callable[[str], None] | None = None,
        **query: Any,
    ) -> AsyncIterator[Document]:
        """Events as they happen, from a time or from behind a sequence number on, for ever.

        A connection that breaks is made again where it was, so that no event is missed or told twice.
        """
        place = _Place(str(after) if after is not None else "" if since else await self._newest())
        while True:
            reason = "the server ended the stream"
            try:
                async for event in self._stream_once(place, since, query):
                    yield event
            except (httpx.HTTPError, Failed) as error:
                if not place.connected:
                    raise self._unreachable(error) if isinstance(error, httpx.HTTPError) else error from None
                reason = str(error) or type(error).__name__
            if on_break:
                on_break(reason)
            await asyncio.sleep(place.pause)

    async def _newest(self) -> str:
        """Where the stream is now, so that nothing is missed should it break before its first event."""
        page = await self.get("/v1/events", order="desc", limit=1)
        return str(page["items"][0]["sequence"]) if page["items"] else "0"

    async def _stream_once(
        self, place: "_Place", since: str | None, query: Mapping[str, Any]
    ) -> AsyncIterator[Document]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": place.after} if place.after else {})}
        params = _given({**query, "since": since})
        timeout = httpx.Timeout(PATIENCE, read=STREAM_PATIENCE)
        async with self._client.stream("GET", "/v1/events", params=params, headers=headers, timeout=timeout) as answer:
            if answer.is_error:
                await answer.aread()
                raise self._refused(answer)
            place.connected = True
            parser = Parser()
            async for line in answer.aiter_lines():
                if complete := parser.feed(line):
                    place.after = complete.id or place.after
                    yield json.loads(complete.data)
                place.pause = parser.retry / 1000 if parser.retry else place.pause

    def _unreachable(self, error: Exception) -> CliError:
        reason = str(error) or type(error).__name__
        return Failed(
            f"inventory does not answer at {self.url} ({reason}); start it with `kickfleet up`, or say where it is"
            f" with `inventory.url`"
        )

    def _refused(self, answer: httpx.Response) -> CliError:
        problem = _problem(answer)
        message = str(problem.get("detail") or problem.get("title") or f"HTTP {answer.status_code}")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            where = f"{TOKEN_VARIABLE} or {token_file(self._settings)}"
            return WrongUse(f"inventory does not know this token; a valid one is expected in {where}")
        if answer.status_code == httpx.codes.FORBIDDEN:
            return WrongUse(f"the token may not do this: {message}")
        kind = Failed if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS else WrongUse
        return kind(message, problems=_problems(problem))


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value is not None}


def _problem(answer: httpx.Response) -> Document:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _problems(problem: Document) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in error.items()} for error in problem.get("errors") or []]
