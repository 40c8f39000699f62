"""The three pages that every service has: /healthz, /readyz and /metrics."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Health:
    """What a service says of itself: alive by answering, ready when every part of it is."""

    service: str
    bus_connected: Callable[[], bool]
    parts: dict[str, tuple[bool, str]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether all parts are; a missing bus is told but does not count, as machines are served without it."""
        return bool(self.parts) and all(ok for ok, _ in self.parts.values())

    def document(self) -> dict[str, Any]:
        """The body of /readyz."""
        parts = {
            name: {"ok": ok, **({"detail": detail} if detail else {})} for name, (ok, detail) in self.parts.items()
        }
        return {
            "service": self.service,
            "ready": self.ready,
            "bus": "connected" if self.bus_connected() else "away",
            "parts": parts,
        }


def with_status(app: Asgi, health: Health, registry: CollectorRegistry) -> Asgi:
    """`app` with the three pages in front of it."""

    def page(path: str) -> tuple[int, bytes, str] | None:
        if path == "/healthz":
            return 200, b'{"status": "alive"}', "application/json"
        if path == "/readyz":
            return 200 if health.ready else 503, json.dumps(health.document()).encode(), "application/json"
        if path == "/metrics":
            return 200, generate_latest(registry), CONTENT_TYPE_LATEST
        return None

    async def with_pages(scope: Scope, receive: Receive, send: Send) -> None:
        found = page(scope["path"]) if scope["type"] == "http" else None
        if found:
            await _answer(send, scope["method"], *found)
        else:
            await app(scope, receive, send)

    return with_pages


async def _answer(send: Send, method: str, status: int, body: bytes, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
