"""The life of a service: it starts, tells its health, ends cleanly, and says what keeps it from running."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from libs.events import LeaseOffered
from libs.service import Context, ServiceError, bind_error, serve
from tests.support.running import nats_server, recorder, service, settings_in
from tests.support.waiting import until


@asynccontextmanager
async def _echo(ctx: Context) -> AsyncIterator[None]:
    address = await ctx.serve_status(ctx.settings.inventory.listen)
    ctx.ready("echo", False, "still warming up")
    ctx.announce("echo", str(address))
    ctx.emit(LeaseOffered(subnet="rack1"))
    yield
    ctx.emit(LeaseOffered(subnet="last words"))


async def test_a_service_tells_its_health_and_metrics(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with service("echo", _echo, settings) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {
            "service": "echo",
            "ready": False,
            "bus": "away",
            "parts": {"echo": {"ok": False, "detail": "still warming up"}},
        }
        metrics = await http.get("/metrics")
        assert "kickfleet_bus_connected 0.0" in metrics.text
        assert (await http.get("/else")).status_code == 404
        assert (await http.head("/healthz")).content == b""


async def test_a_service_publishes_also_what_it_says_last(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), recorder(settings) as tape:
        async with service("echo", _echo, settings):
            await until(lambda: len(tape.events) == 1)
        await until(lambda: len(tape.events) == 2, "the last words arrive")


async def test_a_port_in_use_is_said_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = settings_in(tmp_path, inventory__listen=f"127.0.0.1:{port}")
        with pytest.raises(ServiceError, match=rf"cannot listen on tcp 127\.0\.0\.1:{port}: the port is in use"):
            await serve("echo", _echo, settings, stop=asyncio.Event())


async def test_a_part_that_fails_ends_the_service(tmp_path: Path) -> None:
    @asynccontextmanager
    async def failing(ctx: Context) -> AsyncIterator[None]:
        async def fail() -> None:
            raise RuntimeError("the part broke")

        ctx.task(fail(), "part")
        yield

    with pytest.raises(RuntimeError, match="the part broke"):
        await serve("failing", failing, settings_in(tmp_path), stop=asyncio.Event())


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EADDRINUSE, "choose another port"),
        (errno.EACCES, "CAP_NET_BIND_SERVICE"),
        (errno.EPERM, "CAP_NET_BIND_SERVICE"),
        (errno.EADDRNOTAVAIL, "no such address"),
        (errno.ENODEV, "No such device"),
    ],
)
def test_every_refusal_of_the_kernel_has_a_sentence(number: int, remedy: str) -> None:
    sentence = str(bind_error(OSError(number, "No such device"), "dhcp", "udp 0.0.0.0:67"))
    assert "udp 0.0.0.0:67" in sentence
    assert remedy in sentence
