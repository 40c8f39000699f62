"""The inventory service: its parts, and how they hear of each other. All wiring is here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.service import Context, ServiceError
from libs.tasks import end
from services.inventory.api.office import Office
from services.inventory.app import create_app
from services.inventory.chronicle import Effects
from services.inventory.hub import Hub
from services.inventory.ledger import Ledger
from services.inventory.projector import Projector
from services.inventory.publishing import Publisher
from services.inventory.repository.database import Database, DatabaseUnavailable
from services.inventory.tokens import TokenFileError, ensure_admin
from services.inventory.watchdog import Watchdog
from services.inventory.webhooks.couriers import Couriers


@asynccontextmanager
async def inventory(ctx: Context) -> AsyncIterator[None]:
    """Runs the service. Raises ServiceError where the database, the token's file or the port cannot be had."""
    settings = ctx.settings
    async with _database(ctx) as database:
        ledger = Ledger(database, settings.site)
        await _admin_token(ctx, ledger)
        hub = Hub()
        projector = Projector(ledger, ctx.bus, ctx.emit, ctx.log, ctx.registry)
        publisher = Publisher(ledger, ctx.bus, ctx.data, ctx.log)
        watchdog = Watchdog(ledger, ctx.bus, projector, ctx.log)
        couriers = Couriers(
            ledger,
            allow_private=settings.inventory.allow_private_webhooks,
            log=ctx.log,
            registry=ctx.registry,
        )

        def publish(effects: Effects) -> None:
            projector.publish(effects.published)

        for listener in (publish, hub.follow, publisher.follow, watchdog.follow, couriers.follow):
            ledger.on_commit(listener)
        app = create_app(Office(ledger, ctx.bus, hub, settings.data / "images"))
        address = await ctx.serve_http(app, settings.inventory.listen)
        tasks = (
            ctx.task(projector.run(), "projector"),
            ctx.task(_publish_when_caught_up(projector, publisher), "publisher of desired state"),
            ctx.task(watchdog.run(), "watchdog"),
            ctx.task(couriers.run(), "couriers"),
        )
        ctx.ready("database", True)
        ctx.announce("inventory", str(address))
        ctx.log.info("the API listens", address=str(address), docs=f"http://{address}/docs")
        try:
            yield
        finally:
            hub.close()
            await end(*tasks)


async def _publish_when_caught_up(projector: Projector, publisher: Publisher) -> None:
    # Before that, a database that was lost would have the buckets of a running fleet emptied.
    await projector.caught_up.wait()
    await publisher.run()


@asynccontextmanager
async def _database(ctx: Context) -> AsyncIterator[Database]:
    url = ctx.settings.database.url or f"sqlite:///{ctx.data / 'inventory.db'}"
    try:
        database = Database(url)
        await database.open()
    except DatabaseUnavailable as error:
        raise ServiceError(f"{error}; look at database.url in kickfleet.toml") from None
    try:
        yield database
    finally:
        await database.close()


async def _admin_token(ctx: Context, ledger: Ledger) -> None:
    try:
        await ensure_admin(ledger, ctx.settings.data, ctx.log)
    except TokenFileError as error:
        raise ServiceError(str(error)) from None
