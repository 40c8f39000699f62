"""kickstart put together: replicas in, boot files and events out, and the door for machines."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from libs.bus import Replica
from libs.desired import BOOTFILES, LEASES, MACHINES, SUBNETS
from libs.service import Context
from libs.settings import HostPort, parse_host_port
from services.kickstart.accesslog import receive_log
from services.kickstart.app import Parts, create_app
from services.kickstart.callbacks import Callbacks
from services.kickstart.fleet import Fleet
from services.kickstart.installs import Installs
from services.kickstart.metrics import Metrics
from services.kickstart.orders import Orders
from services.kickstart.problems import ProblemReporter
from services.kickstart.publisher import Publisher
from services.kickstart.rpc import SUBJECT, Inspector
from services.kickstart.sources import fingerprint
from services.kickstart.store import Store
from services.kickstart.transfers import Transfers
from services.kickstart.uploads import Uploads
from services.kickstart.workshop import Workshop

TEMPLATE_SECONDS = 1.0  # between two looks at the site's templates
PATIENCE = 10.0  # seconds for the bus to tell the fleet, before the copy at hand is gone by


@asynccontextmanager
async def kickstart(ctx: Context) -> AsyncIterator[None]:
    """Start before the yield, stop after it. Raises ServiceError where the address cannot be had."""
    house = _build(ctx)
    async with AsyncExitStack() as stack:
        stack.callback(house.store.close)
        stack.push_async_callback(house.workshop.close)
        for replica in house.replicas:
            stack.push_async_callback(replica.stop)
            await replica.start()
        stack.callback(house.parts.stopping.set)
        house.orders.listening = await ctx.serve_http(create_app(house.parts), ctx.settings.kickstart.listen)
        if listen := ctx.settings.kickstart.nginx_log:
            receiver = await receive_log(parse_host_port(listen), house.parts.transfers.served, ctx.log)
            stack.callback(receiver.close)
            host, port = receiver.get_extra_info("sockname")[:2]
            ctx.announce("kickstart.nginx_log", str(HostPort(host, port)))
        ctx.task(house.publisher.writer.run(), "boot file writer")
        ctx.task(_publish(house), "boot file publisher")
        ctx.task(_reconcile(house, ctx), "boot file reconciliation")
        ctx.task(_watch_templates(house, ctx), "template watch")
        await ctx.bus.respond(SUBJECT, Inspector(house.orders, house.workshop).answer)
        ctx.ready("http", ok=True, detail=str(house.orders.listening))
        ctx.announce("kickstart", str(house.orders.listening))
        yield


@dataclass(frozen=True)
class _House:
    """What the service is made of."""

    store: Store
    fleet: Fleet
    orders: Orders
    workshop: Workshop
    publisher: Publisher
    replicas: list[Replica]
    parts: Parts


def _build(ctx: Context) -> _House:
    store = Store(ctx.data / "installs.db", time.time())
    installs = Installs(store)
    fleet = Fleet(installs)
    orders = Orders(ctx.settings, fleet)
    metrics = Metrics(ctx.registry, lambda: len(fleet.names()))
    problems = ProblemReporter(ctx.emit, metrics, ctx.log)
    workshop = Workshop(ctx.settings.kickstart.templates, problems.templates_passed_over)
    publisher = Publisher(fleet, orders, workshop, ctx.bus, ctx.log, problems.machine_not_rendered)
    fleet.on_change = publisher.machine_changed
    parts = Parts(
        Transfers(ctx.settings.data / "images", fleet, orders, publisher, workshop, ctx.emit, ctx.log),
        Callbacks(installs, publisher, ctx.emit, ctx.log),
        installs,
        Uploads(ctx.data / "logs"),
        metrics,
        asyncio.Event(),
        lambda: bool(fleet.names()) or publisher.complete,
    )
    return _House(store, fleet, orders, workshop, publisher, _replicas(ctx, fleet, publisher), parts)


def _replicas(ctx: Context, fleet: Fleet, publisher: Publisher) -> list[Replica]:
    """The boot files come last: what is told of them is checked against the fleet."""
    followed = {
        SUBNETS: fleet.subnet_changed,
        LEASES: fleet.lease_changed,
        MACHINES: fleet.machine_changed,
        BOOTFILES: publisher.loaded,
    }
    return [ctx.bus.replica(bucket, ctx.data / f"{bucket}.db", take) for bucket, take in followed.items()]


async def _publish(house: _House) -> None:
    """Wait for the fleet as it is now; without a bus, go by the copy of what it was."""
    for replica in house.replicas:
        await replica.wait_synced(PATIENCE)
    await house.publisher.run()


async def _reconcile(house: _House, ctx: Context) -> None:
    ctx.ready("fleet", ok=bool(house.fleet.names()), detail="as it was last; the bus has not told it yet")
    for replica in house.replicas:
        await replica.synced.wait()
    ctx.ready("fleet", ok=True)
    house.publisher.reconcile(house.replicas[-1].items())


async def _watch_templates(house: _House, ctx: Context) -> None:
    """A changed template takes effect for machines that have not booted yet, without being told."""
    folder = ctx.settings.kickstart.templates
    before = await asyncio.to_thread(fingerprint, folder)
    while True:
        await asyncio.sleep(TEMPLATE_SECONDS)
        now = await asyncio.to_thread(fingerprint, folder)
        if now != before:
            ctx.log.info("the site's templates have changed; boot files are rendered again")
            house.publisher.all_changed()
        before = now
