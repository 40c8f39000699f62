"""Puts the service together: store, fleet, engine, sockets, and the way to the bus."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from pydantic import ValidationError

from libs.bus import Replica
from libs.desired import MACHINES, SHARING, SUBNETS, Document, MachineDocument, SubnetDocument
from libs.events import Event, LeaseOffered
from libs.service import Context, ServiceError, bind_error
from libs.settings import HostPort, Settings, parse_host_port
from services.dhcp.allocation import Allocation
from services.dhcp.boot import KickstartAddress
from services.dhcp.engine import Engine
from services.dhcp.exchange import Desk
from services.dhcp.fleet import Fleet
from services.dhcp.lease_view import LeaseView
from services.dhcp.leases import Leases
from services.dhcp.metrics import LeaseCollector, Metrics
from services.dhcp.release import SUBJECT, answering
from services.dhcp.server import Server, missing_sentence
from services.dhcp.sharing.forgetting import FORGET, forgetting
from services.dhcp.sharing.joining import party_of, tell_sharing
from services.dhcp.sharing.link import Link
from services.dhcp.sharing.party import Party
from services.dhcp.shrinking import telling
from services.dhcp.store import Store, StoreError

TICK_SECONDS = 1.0
TIDY_SECONDS = 30.0
COLLECT_AFTER = (50_000, 20, 20)  # objects more than freed, and how many collections of one generation before the next
D = TypeVar("D", bound=Document)


@asynccontextmanager
async def dhcp(ctx: Context) -> AsyncIterator[None]:
    """The DHCP service. Raises ServiceError where it cannot run as it is set up."""
    leases = Leases()
    store = _open_store(ctx, leases)
    fleet = Fleet()
    desk = Desk(fleet, Allocation(fleet, leases), kickstart_address(ctx.settings))
    party = party_of(ctx, desk.allocation)
    view = LeaseView(ctx.bus, fleet, leases, desk.allocation.sharing.owns)
    engine = Engine(desk)
    server = Server(
        engine,
        save=store.save,
        record=_recorder(ctx),
        told=view.show,
        share=lambda batch: link.share(batch),
        ready=ctx.ready,
        metrics=Metrics(ctx.registry),
        log=ctx.log,
    )
    link = Link(ctx.bus.ledger(SHARING), party, engine, desk.allocation, server.carry_out, ctx.log)
    ctx.registry.register(LeaseCollector(fleet, desk.allocation))
    replicas = [
        ctx.bus.replica(MACHINES, ctx.data / "machines.db", _reader(MachineDocument, fleet.put_machine)),
        ctx.bus.replica(SUBNETS, ctx.data / "subnets.db", _reader(SubnetDocument, telling(fleet, leases, ctx.log))),
    ]
    address = _listen(ctx, server)
    desk.can_probe = server.can_probe
    try:
        _check_interfaces(fleet, server)
        ctx.task(link.run(), "other servers")
        ctx.task(_follow_fleet(party, replicas), "fleet")
        ctx.task(_show(view, link), "lease view")
        await ctx.bus.respond(SUBJECT, answering(server.release))
        await ctx.bus.respond(FORGET, forgetting(link, fleet))
        ctx.task(_tidy(store), "lease database")
        ctx.task(_keep_time(ctx, desk, server, replicas, party), "clock")
        ctx.announce("dhcp-status", str(await ctx.serve_status(ctx.settings.dhcp.status)))
        ctx.ready("socket", True)
        ctx.ready("leases", True)
        ctx.announce("dhcp", str(address))
        yield
    finally:
        server.close()
        for replica in replicas:
            await replica.stop()
        store.close()


def kickstart_address(settings: Settings) -> KickstartAddress:
    """Where machines find the kickstart service. A port left to the system is read from where it is announced."""
    kickstart = settings.kickstart
    host = "" if kickstart.listen.host in ("0.0.0.0", "::") else kickstart.listen.host
    port = kickstart.listen.port
    if not port:
        with suppress(OSError, ValueError):
            port = parse_host_port((settings.data / "run" / "kickstart").read_text().strip()).port
    return KickstartAddress(kickstart.public_url, host, port)


def _open_store(ctx: Context, leases: Leases) -> Store:
    try:
        store = Store(ctx.data / "leases.db")
        leases.load(store.load())
        return store
    except StoreError as error:
        raise ServiceError(str(error)) from None


def _listen(ctx: Context, server: Server) -> HostPort:
    wanted = HostPort(ctx.settings.dhcp.listen, ctx.settings.dhcp.port)
    try:
        return server.open(wanted)
    except OSError as error:
        raise bind_error(error, "dhcp", f"udp {wanted}") from None


def _check_interfaces(fleet: Fleet, server: Server) -> None:
    """Where none of the subnets can be served there is no use in running; one that can is not to suffer."""
    missing = server.follow_interfaces(fleet.interfaces)
    subnets = list(fleet.subnets)
    if subnets and all(subnet.interface in missing for subnet in subnets):
        raise ServiceError(f"dhcp can serve no subnet: {missing_sentence(missing)}")


async def _keep_time(ctx: Context, desk: Desk, server: Server, replicas: list[Replica], party: Party) -> None:
    """Once a second: leases run out, interfaces come and go, the fleet's readiness is told."""
    settings = ctx.settings
    is_frozen = False
    while True:
        server.follow_interfaces(desk.fleet.interfaces)
        server.follow_proxies(wanted=desk.fleet.has_proxies)
        server.tick()
        known = all(replica.synced.is_set() or replica.items() for replica in replicas)
        if ctx.bus.connected or party.sharing.history:
            tell_sharing(ctx, party)
        ctx.ready("fleet", known, "" if known else "waiting for the first copy of the fleet from the bus")
        if known and not is_frozen:
            is_frozen = True
            _spare_the_collector()
        if not settings.kickstart.listen.port:
            desk.kickstart = kickstart_address(settings)
        await asyncio.sleep(TICK_SECONDS)


async def _follow_fleet(party: Party, replicas: list[Replica]) -> None:
    """The fleet is learnt once the other servers know of this one: what it serves alone is its own alone."""
    await party.joined.wait()
    for replica in replicas:
        await replica.start()


async def _show(view: LeaseView, link: Link) -> None:
    """The view is brought up to date with what the other servers did meanwhile."""
    await link.told.wait()
    await view.run()


async def _tidy(store: Store) -> None:
    while True:
        await asyncio.to_thread(store.tidy)
        await asyncio.sleep(TIDY_SECONDS)


def _spare_the_collector() -> None:
    """Have the fleet, which stays, not be searched for garbage again and again: a storm makes hardly any cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _recorder(ctx: Context) -> Callable[[Sequence[Event]], None]:
    """Events go to the spool and, each as a sentence, to the log."""
    log = ctx.log.bind()

    def record(events: Sequence[Event]) -> None:
        ctx.emit(*events)
        if log.is_enabled_for(logging.INFO):
            for event in events:
                tell = log.debug if isinstance(event, LeaseOffered) else log.info
                said = {key: value for key, value in event.data().items() if value is not None}
                tell(event.TYPE.replace(".", " "), **said)

    return record


def _reader(kind: type[D], put: Callable[[str, D | None], None]) -> Callable[[str, dict[str, Any] | None], None]:
    """Takes a document from a replica. Raises ValueError, which the replica logs, for one that is not of its kind."""

    def take(key: str, document: dict[str, Any] | None) -> None:
        try:
            put(key, None if document is None else kind.model_validate(document))
        except ValidationError as error:
            raise ValueError(f"{key} is not a {kind.__name__}: {error.errors()[0]['msg']}") from None

    return take
