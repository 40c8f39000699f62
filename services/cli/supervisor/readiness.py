"""Asks services whether they are ready."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from libs.settings import HostPort

PAUSE = 0.1


@dataclass(frozen=True)
class Readiness:
    """The answer of /readyz. `missing`: the parts that are not ready, each with its detail; `said`: the others'."""

    ready: bool
    missing: tuple[str, ...] = ()
    bus: str = "away"
    said: Mapping[str, str] = field(default_factory=dict)


def reachable(address: HostPort) -> HostPort:
    """A wildcard address as one that can be connected to."""
    return HostPort({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host), address.port)


async def ask(service: str, address: HostPort, client: httpx.AsyncClient) -> Readiness | None:
    """What a service says of itself; None where nobody answers as this service does."""
    try:
        answer = await client.get(f"http://{reachable(address)}/readyz", timeout=5)
        document = answer.json()
        if document["service"] != service:
            return None
        parts = document.get("parts", {}).items()
        missing = tuple(f"{name}: {part.get('detail') or 'not yet'}" for name, part in parts if not part.get("ok"))
        said = {name: str(part.get("detail", "")) for name, part in parts if part.get("ok")}
        return Readiness(bool(document["ready"]), missing, str(document.get("bus", "away")), said)
    except (httpx.HTTPError, ValueError, KeyError, AttributeError, TypeError):
        return None


async def wait_ready(
    service: str, page: Callable[[], HostPort | None], client: httpx.AsyncClient, patience: float | None = None
) -> Readiness | None:
    """Wait until the service is ready, at most `patience` seconds; then the last answer. Its page may move."""
    answer = None
    try:
        async with asyncio.timeout(patience):
            while True:
                address = page()
                answer = await ask(service, address, client) if address else None
                if answer and answer.ready:
                    return answer
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        return answer
