"""The TFTP service, put together: replicas of leases and boot files, the socket, the server, its reports."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from libs.bus import Replica
from libs.desired import BOOTFILES, LEASES
from libs.service import Context, ServiceError, bind_error
from libs.settings import HostPort
from services.tftp.files import Library
from services.tftp.fleet import Fleet
from services.tftp.limits import Limits
from services.tftp.listener import listen
from services.tftp.progress import SUBJECT, Progress
from services.tftp.reports import Reports
from services.tftp.server import Server
from services.tftp.sources import Sources

BUS_PATIENCE = 1.0  # seconds for the bus to answer
SYNC_PATIENCE = 1.0  # seconds for the first sight of both buckets, where the bus is there
SPARE_DESCRIPTORS = 512  # for files, the bus and HTTP, beside one a transfer


@asynccontextmanager
async def tftp(context: Context) -> AsyncIterator[None]:
    """Serve until the context ends. Raises ServiceError where the address cannot be had."""
    fleet = Fleet(lambda: datetime.now(UTC))
    replicas = [
        context.bus.replica(LEASES, context.data / "leases.db", fleet.lease_changed),
        context.bus.replica(BOOTFILES, context.data / "bootfiles.db", fleet.bootfiles_changed),
    ]
    try:
        await _follow(context, replicas)
        sources = _sources(context, fleet)
        sock = _listen(context.settings.tftp.listen)
        reports = Reports(context.emit, context.log, context.registry)
        server = Server(sock, sources, reports, Limits(total=_affordable(Limits().total)))
        try:
            await context.serve_status(context.settings.tftp.status)
            server.start()
            await context.bus.respond(SUBJECT, Progress(server.running, asyncio.get_running_loop().time).answer)
            _announce(context, sock)
            yield
        finally:
            server.close()
    finally:
        for replica in replicas:
            await replica.stop()


async def _follow(context: Context, replicas: list[Replica]) -> None:
    """Begin with what the bus says now where it answers, else with what was kept from the last time."""
    for replica in replicas:
        await replica.start()
    if not await context.bus.wait_connected(BUS_PATIENCE):
        context.log.warning("the bus is away: serving what was known last")
        return
    synced = await asyncio.gather(*(replica.wait_synced(SYNC_PATIENCE) for replica in replicas))
    if not all(synced):
        context.log.warning("the bus is slow: serving what was known last until it answers")


def _listen(address: HostPort) -> socket.socket:
    try:
        return listen(address)
    except OSError as error:
        raise bind_error(error, "tftp", f"udp {address}") from None


def _sources(context: Context, fleet: Fleet) -> Sources:
    settings = context.settings
    folders = [Path(settings.tftp.loaders)] if settings.tftp.loaders else []
    if folders and not folders[0].is_dir():
        raise ServiceError(
            f"tftp.loaders names {folders[0]}, which is no folder; create it, or leave the setting empty"
            " to serve the loaders of the installed packages"
        )
    return Sources(fleet, Library(), images=settings.data / "images", folders=[*folders, settings.data / "loaders"])


def _announce(context: Context, sock: socket.socket) -> None:
    address = HostPort(context.settings.tftp.listen.host, sock.getsockname()[1])
    context.announce("tftp", str(address))
    context.ready("tftp", True, f"serving on udp {address}")
    context.log.info("serving files by TFTP", address=str(address))


def _affordable(wanted: int) -> int:
    """As many transfers as the process may have descriptors for; its soft limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < enough:
        soft = enough if hard == resource.RLIM_INFINITY else min(hard, enough)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(64, min(wanted, soft - SPARE_DESCRIPTORS))
