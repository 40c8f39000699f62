"""The door: what machines ask by HTTP, and what they are told when it cannot be."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from libs.bus import BusUnavailable
from libs.status import Asgi, Receive, Scope, Send
from services.kickstart.callbacks import KINDS, Callbacks
from services.kickstart.delivery import deliver
from services.kickstart.images import NotThere
from services.kickstart.installs import InstallEnded, Installs, TooMany, UnknownToken
from services.kickstart.metrics import Metrics
from services.kickstart.reports import MAX_BODY, ReportError, parse_report
from services.kickstart.sandbox import RenderError
from services.kickstart.transfers import Outgoing, Transfers
from services.kickstart.uploads import UploadRefused, Uploads

READ = ["GET", "HEAD"]
IMAGES = "/images/"
DOCUMENTS = ("answers", "ks.cfg", "preseed.cfg")
RETRY_AFTER = {"retry-after": "2"}  # seconds; what the templates' callbacks wait as well


@dataclass(frozen=True)
class Parts:
    """What the door leads to."""

    transfers: Transfers
    callbacks: Callbacks
    installs: Installs
    uploads: Uploads
    metrics: Metrics
    stopping: asyncio.Event
    fleet_known: Callable[[], bool]


class _Sending(Response):
    """Hands the connection to our own delivery, which finds out what arrives."""

    def __init__(self, outgoing: Outgoing, metrics: Metrics) -> None:
        super().__init__(status_code=outgoing.response.status)
        self._outgoing = outgoing
        self._metrics = metrics

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        delivery = await deliver(self._outgoing.response, scope, send)
        if delivery:
            self._metrics.octets(delivery.sent)
            self._outgoing.after(delivery)


def create_app(parts: Parts) -> Asgi:
    """The application."""
    app = FastAPI(title="kickfleet kickstart", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/boot/ipxe/{mac}", _script(parts), methods=READ)
    app.add_api_route("/i/{token}/logs/{name}", _log(parts), methods=["PUT", "POST"])
    app.add_api_route("/i/{token}/{document}", _answers(parts), methods=READ)
    app.add_api_route("/i/{token}/{kind}", _callback(parts), methods=["POST"])
    for error, handler in {**_HANDLERS, UnknownToken: _unknown_token(parts)}.items():
        app.add_exception_handler(error, handler)
    return _at_the_door(app, parts)


def _script(parts: Parts) -> Callable[..., Awaitable[Response]]:
    async def script(mac: str, request: Request) -> Response:
        return _Sending(await parts.transfers.script(mac, _ip(request)), parts.metrics)

    return script


def _image(parts: Parts) -> Asgi:
    """Install trees have thousands of files, and storms ask for one at once: they go past the framework."""

    async def image(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        path = scope["path"].removeprefix(IMAGES)
        answer: Response = JSONResponse({"detail": "images are read"}, 405, {"allow": ", ".join(READ)})
        try:
            if request.method in READ:
                answer = _Sending(parts.transfers.image(path, _ip(request), request.headers), parts.metrics)
        except NotThere as error:
            answer = await _HANDLERS[NotThere](request, error)
        await answer(scope, receive, send)

    return image


def _answers(parts: Parts) -> Callable[..., Awaitable[Response]]:
    async def answers(token: str, document: str, request: Request) -> Response:
        if document not in DOCUMENTS:
            raise NotThere
        return _Sending(await parts.transfers.answers(token, _ip(request)), parts.metrics)

    return answers


def _callback(parts: Parts) -> Callable[..., Awaitable[Response]]:
    async def callback(token: str, kind: str, request: Request) -> Response:
        if kind not in KINDS:
            raise NotThere
        parts.installs.of(token)
        body = await _body(request)
        report = parse_report(body, request.headers.get("content-type", ""), request.query_params)
        await parts.callbacks.take(token, kind, report, _ip(request))
        return JSONResponse({"status": kind})

    return callback


def _log(parts: Parts) -> Callable[..., Awaitable[Response]]:
    async def log(token: str, name: str, request: Request) -> Response:
        install = parts.installs.running(token)
        size = await parts.uploads.keep(install.id, name, request.stream())
        return JSONResponse({"status": "kept", "bytes": size}, 201)

    return log


def _ip(request: Request) -> str:
    return request.client.host if request.client else ""


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise UploadRefused(413, f"a callback has at most {MAX_BODY} bytes")
    return body


# --- what stands in the way ---------------------------------------------------------------------------------


Handler = Callable[[Request, Exception], Awaitable[Response]]


def _refuse(status: int, message: str) -> Handler:
    async def refuse(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"detail": message}, status)

    return refuse


def _unknown_token(parts: Parts) -> Handler:
    """403, which nobody repeats; but 503 from a service without memory that the bus has told nothing yet."""

    async def unknown(_request: Request, _error: Exception) -> Response:
        if parts.fleet_known():
            return JSONResponse({"detail": "this token opens no install"}, 403)
        return JSONResponse({"detail": "the fleet is not known yet; repeat this request"}, 503, RETRY_AFTER)

    return unknown


async def _wrong(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 400)


async def _not_confirmed(_request: Request, _error: Exception) -> Response:
    detail = "recorded, but the machine's next boot is not known to be from its disk yet; repeat this request"
    return JSONResponse({"detail": detail}, 503, RETRY_AFTER)


async def _not_rendered(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 500, {"cache-control": "no-store"})


async def _not_kept(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, error.status if isinstance(error, UploadRefused) else 400)


_HANDLERS: Mapping[type[Exception], Handler] = {
    NotThere: _refuse(404, "there is nothing at this address"),
    InstallEnded: _refuse(410, "the install has ended"),
    TooMany: _refuse(429, "this install has sent too many callbacks"),
    ReportError: _wrong,
    BusUnavailable: _not_confirmed,
    RenderError: _not_rendered,
    UploadRefused: _not_kept,
}


def _at_the_door(app: Asgi, parts: Parts) -> Asgi:
    """Counts requests, and reads `//` in a path as `/`: firmware and installers join addresses carelessly."""
    image = _image(parts)
    closed = JSONResponse({"detail": "the service stops; repeat this request"}, 503, RETRY_AFTER)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        path = re.sub("//+", "/", scope["path"])

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                parts.metrics.request(_kind(path), message["status"])
            await send(message)

        inside = image if path.startswith(IMAGES) else app
        if parts.stopping.is_set():
            inside = closed
        await inside({**scope, "path": path}, receive, counted)

    return door


def _kind(path: str) -> str:
    """What a request is for, as metrics name it: a few words whatever is asked."""
    first, *more = path.strip("/").split("/")
    if first == "i" and len(more) == 2:
        return more[1] if more[1] in KINDS else "answers"
    return {"boot": "bootconfig", "images": "image", "i": "log"}.get(first, "other")
