"""The HTTP application: every router in one list."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.inventory.api import apply, events, installs, leased, machines, resources, tokens, transfers, unknown
from services.inventory.api.office import Office
from services.inventory.api.problems import Problem, ProblemDocument, install_handlers
from services.inventory.resources.fleet import Fleet, Site

MOST_BODY = 16 << 20
DESCRIPTION = "The fleet, its installs, and everything that happens to them. A bearer token is needed on every path."
ROUTERS = (
    machines.router,
    resources.webhooks,
    *(resources.router_of(kind) for kind in ("subnets", "images", "profiles", "webhooks")),
    resources.site,
    apply.router,
    installs.router,
    leased.router,
    unknown.router,
    transfers.router,
    events.router,
    tokens.router,
)
BODIES = (Fleet, Site, machines.Batch, ProblemDocument)


def create_app(office: Office) -> ASGIApp:
    """The application on top of the service's parts."""
    app = _Api(title="kickfleet inventory", version="1", description=DESCRIPTION, redoc_url=None)
    app.state.office = office
    for router in ROUTERS:
        app.include_router(router)
    install_handlers(app)
    return _Bounded(app)


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, with the bodies that are read by hand."""
        if not self.openapi_schema:
            self.openapi_schema = _with_bodies(super().openapi())
        return self.openapi_schema


def _with_bodies(document: dict[str, Any]) -> dict[str, Any]:
    _, found = models_json_schema(
        [(model, "validation") for model in BODIES], ref_template="#/components/schemas/{model}"
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in found.get("$defs", {}).items():
        schemas.setdefault(name, schema)
    return document


class _Bounded:
    """Refuses a request whose body is larger than any that makes sense, before it is read whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _announced(scope) > MOST_BODY:
            await _too_large().response()(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                raise _too_large()
            return message

        await self._app(scope, bounded, send)


def _announced(scope: MutableMapping[str, Any]) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) < 20 else 0


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {MOST_BODY >> 20} MiB; send it in parts")
