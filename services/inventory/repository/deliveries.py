"""The queue of webhook deliveries. It outlives the process: what was not delivered is tried again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from services.inventory.models import DeliveryRow
from services.inventory.repository.database import Session, in_parts
from services.inventory.repository.events import Entry, returned

PENDING, DELIVERED, DEAD = "pending", "delivered", "dead"


@dataclass(frozen=True)
class Delivery:
    """One event for one webhook, after `attempts` attempts that failed."""

    id: int
    webhook: str
    event_id: str
    attempts: int
    due_at: datetime
    state: str = PENDING
    ended_at: datetime | None = None
    error: str = ""


def queue(session: Session, pairs: Iterable[tuple[str, str]], now: datetime) -> None:
    """Add deliveries of (webhook, event id) that are not there yet."""
    wanted = list(pairs)
    known: set[tuple[str, str]] = set()
    for part in in_parts(event_id for _, event_id in wanted):
        rows = session.execute(select(DeliveryRow.webhook, DeliveryRow.event_id).where(DeliveryRow.event_id.in_(part)))
        known |= {(row.webhook, row.event_id) for row in rows}
    values = [
        {"webhook": webhook, "event_id": event_id, "state": PENDING, "attempts": 0, "due_at": now, "error": ""}
        for webhook, event_id in wanted
        if (webhook, event_id) not in known
    ]
    if values:
        session.execute(insert(DeliveryRow), values)


def next_of(session: Session, webhook: str) -> tuple[Delivery, Entry] | None:
    """The oldest delivery that a webhook still has to get, with its event: they go out in order."""
    query = select(DeliveryRow).where(DeliveryRow.state == PENDING, DeliveryRow.webhook == webhook)
    row = session.scalars(query.order_by(DeliveryRow.id).limit(1)).first()
    if row is None:
        return None
    entries = returned(session, [row.event_id])
    return (_read(row), entries[0]) if entries else None


def waiting(session: Session) -> set[str]:
    """The webhooks that have something to get."""
    return set(session.scalars(select(DeliveryRow.webhook).where(DeliveryRow.state == PENDING).distinct()))


def delivered(session: Session, id: int, now: datetime) -> None:
    """The receiver took it."""
    values = {"state": DELIVERED, "ended_at": now, "error": "", "attempts": DeliveryRow.attempts + 1}
    session.execute(update(DeliveryRow).where(DeliveryRow.id == id).values(values))


def failed(session: Session, id: int, error: str, retry_at: datetime | None, now: datetime) -> None:
    """It did not: to be tried again at `retry_at`, or never more."""
    values = {"attempts": DeliveryRow.attempts + 1, "error": error}
    later = {"due_at": retry_at} if retry_at else {"state": DEAD, "ended_at": now}
    session.execute(update(DeliveryRow).where(DeliveryRow.id == id).values({**values, **later}))


def hasten(session: Session, webhook: str, now: datetime) -> None:
    """A webhook was declared anew: what waits for it is tried at once."""
    query = update(DeliveryRow).where(DeliveryRow.webhook == webhook, DeliveryRow.state == PENDING)
    session.execute(query.values({"due_at": now}))


def forget(session: Session, webhook: str) -> None:
    """A webhook is no more: nor is what it had to get."""
    session.execute(delete(DeliveryRow).where(DeliveryRow.webhook == webhook))


def of_webhook(session: Session, webhook: str, count: int) -> list[Delivery]:
    """The latest deliveries to a webhook, the newest first."""
    query = select(DeliveryRow).where(DeliveryRow.webhook == webhook).order_by(DeliveryRow.id.desc()).limit(count)
    return [_read(row) for row in session.scalars(query)]


def counts(session: Session) -> dict[str, int]:
    """How many deliveries are in each state."""
    rows = session.execute(select(DeliveryRow.state, func.count()).group_by(DeliveryRow.state))
    return {row[0]: row[1] for row in rows}


def _read(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=row.id,
        webhook=row.webhook,
        event_id=row.event_id,
        attempts=row.attempts,
        due_at=row.due_at,
        state=row.state,
        ended_at=row.ended_at,
        error=row.error,
    )
