"""Couriers: one for each webhook that has something to get, so that a receiver that fails delays no other.

What one webhook is told keeps its order: a message waits until the one before it was taken or given up.
"""

import asyncio
from datetime import datetime, timedelta

import httpx
from prometheus_client import CollectorRegistry, Counter
from structlog.typing import FilteringBoundLogger

from services.inventory.chronicle import Effects
from services.inventory.ledger import Ledger
from services.inventory.repository import deliveries, installs
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository.database import Conflict, DatabaseUnavailable, Session
from services.inventory.repository.deliveries import Delivery
from services.inventory.resources.fleet import Webhook
from services.inventory.webhooks.formats import FORMATS
from services.inventory.webhooks.notice import Notice
from services.inventory.webhooks.sending import Undelivered, new_client, post

FIRST_WAIT, LONGEST_WAIT = 0.5, 900.0  # seconds between attempts, doubled each time
NAP = 1.0  # seconds after which a courier that waits looks again: the webhook may have been changed or removed
MOST_ATTEMPTS = 60  # about thirteen hours
MOST_REFUSALS = 4  # a receiver that understands and refuses (4xx) will hardly change its mind
PASSING = (408, 425, 429)  # refusals that ask to come again
RETRY = 1.0  # seconds until a database that is away is tried again


class Couriers:
    """Start it as a task (`run`); `follow` listens to transactions."""

    def __init__(
        self, ledger: Ledger, *, allow_private: bool, log: FilteringBoundLogger, registry: CollectorRegistry
    ) -> None:
        self._ledger = ledger
        self._allow_private = allow_private
        self._log = log
        self._wake = asyncio.Event()
        self._busy: set[str] = set()
        self._counter = Counter(
            "kickfleet_webhook_attempts", "messages to webhooks by outcome", ["outcome"], registry=registry
        )

    def follow(self, effects: Effects) -> None:
        """Look for new deliveries."""
        if effects.deliveries:
            self._wake.set()

    async def run(self) -> None:
        """Deliver for ever."""
        async with new_client() as client, asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                try:
                    waiting = await self._ledger.read(deliveries.waiting)
                except DatabaseUnavailable:
                    await asyncio.sleep(RETRY)
                    continue
                for webhook in waiting - self._busy:
                    self._busy.add(webhook)
                    tasks.create_task(self._serve(client, webhook))
                await self._wake.wait()

    async def _serve(self, client: httpx.AsyncClient, webhook: str) -> None:
        """Deliver all that one webhook has to get."""
        served = False
        try:
            while await self._deliver_next(client, webhook):
                served = True
        except (DatabaseUnavailable, Conflict) as error:
            self._log.error("deliveries wait for the database", webhook=webhook, error=str(error))
            await asyncio.sleep(RETRY)
        finally:
            self._busy.discard(webhook)
            if served:
                self._wake.set()  # something may have been queued while this courier was on its way out

    async def _deliver_next(self, client: httpx.AsyncClient, webhook: str) -> bool:
        found = await self._ledger.read(lambda session: _next(session, webhook, self._ledger.clock()))
        if found is None:
            return False
        delivery, hook, notice = found
        wait = (delivery.due_at - self._ledger.clock()).total_seconds()
        if wait > 0:
            await asyncio.sleep(min(wait, NAP))
            return True
        try:
            await self._send(client, hook, notice)
        except Undelivered as error:
            await self._failed(delivery, error)
        else:
            self._counter.labels("delivered").inc()
            await self._ledger.transact(lambda work: deliveries.delivered(work.session, delivery.id, work.now))
        return True

    async def _send(self, client: httpx.AsyncClient, hook: Webhook, notice: Notice) -> None:
        format = FORMATS[hook.format]
        reply = await post(client, hook.url, format.build(notice), allow_private=self._allow_private)
        reason = format.refusal(reply)
        if reason:
            refused = 300 <= reply.status < 500 and reply.status not in PASSING
            raise Undelivered(reason, later=reply.retry_after, final=refused)

    async def _failed(self, delivery: Delivery, error: Undelivered) -> None:
        attempt = delivery.attempts + 1
        over = attempt >= (MOST_REFUSALS if error.final else MOST_ATTEMPTS)
        wait = max(min(FIRST_WAIT * 2 ** min(attempt - 1, 16), LONGEST_WAIT), error.later or 0.0)
        self._counter.labels("given up" if over else "failed").inc()
        self._log.warning(
            "a webhook did not take an event, and it is given up" if over else "a webhook did not take an event",
            webhook=delivery.webhook,
            event_id=delivery.event_id,
            attempt=attempt,
            reason=str(error),
        )
        retry_at = None if over else self._ledger.clock() + timedelta(seconds=wait)
        await self._ledger.transact(
            lambda work: deliveries.failed(work.session, delivery.id, str(error), retry_at, work.now)
        )


def _next(session: Session, webhook: str, now: datetime) -> tuple[Delivery, Webhook, Notice] | None:
    stored = stored_fleet.resource(session, "webhooks", webhook)
    found = deliveries.next_of(session, webhook)
    if stored is None or found is None:
        return None
    delivery, entry = found
    install = installs.by_id(session, [entry.install_id]).get(entry.install_id) if entry.install_id else None
    notice = Notice(
        event=entry.event,
        document=entry.shown(),
        now=now,
        secret=stored.resource.secret,
        machine=entry.machine,
        profile=install.profile if install else None,
        took=(entry.event.time - install.ordered_at).total_seconds() if install else None,
    )
    return delivery, stored.resource, notice
