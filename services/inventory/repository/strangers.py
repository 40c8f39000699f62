"""Machines that nobody registered, as dhcp reported them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select

from libs.events import MachineUnknown
from services.inventory.models import EventRow, MacRow
from services.inventory.reading import event_of
from services.inventory.repository.database import Session


@dataclass(frozen=True)
class Stranger:
    """A hardware address that no machine has: what it said last, and since when it asks."""

    mac: str
    first_seen: datetime
    last_seen: datetime
    last: MachineUnknown


def strangers(
    session: Session,
    count: int,
    *,
    mac: str | None = None,
    subnet: str | None = None,
    since: datetime | None = None,
    before: tuple[datetime, str] | None = None,
) -> list[Stranger]:
    """Who asked and is not registered now, the latest first; those behind `before` (last seen, hardware address)."""
    first, last = func.min(EventRow.time).label("first"), func.max(EventRow.time).label("last")
    reports = select(EventRow.mac, first, last).where(EventRow.type == MachineUnknown.TYPE, EventRow.mac.is_not(None))
    reports = reports.where(EventRow.mac == mac) if mac is not None else reports
    seen = reports.where(EventRow.mac.not_in(select(MacRow.mac))).group_by(EventRow.mac).subquery()
    latest = and_(EventRow.mac == seen.c.mac, EventRow.time == seen.c.last, EventRow.type == MachineUnknown.TYPE)
    query = select(EventRow.document, seen.c.mac, seen.c.first, seen.c.last).join(seen, latest)
    query = query.where(seen.c.last >= since) if since is not None else query
    if before is not None:
        query = query.where(or_(seen.c.last < before[0], and_(seen.c.last == before[0], seen.c.mac > before[1])))
    query = query.order_by(seen.c.last.desc(), seen.c.mac, EventRow.id)
    found: dict[str, Stranger] = {}
    for row in session.execute(query):
        event = event_of(row.document.encode())
        if row.mac not in found and isinstance(event, MachineUnknown) and subnet in (None, event.subnet):
            found[row.mac] = Stranger(row.mac, row.first, row.last, event)
            if len(found) == count:
                break
    return list(found.values())
