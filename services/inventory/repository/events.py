"""Events: stored exactly as they came, with what was found out about them beside."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, update

from libs.envelope import Event
from services.inventory.models import EventRow, RejectedRow
from services.inventory.reading import event_of
from services.inventory.repository.database import Session, in_parts

LEASES = ("lease.acknowledged", "lease.released", "lease.expired")


@dataclass
class Entry:
    """One event in the history. `seq` is its place in the stream: None for ours until it came back from there."""

    event: Event
    document: str
    seq: int | None = None
    mac: str | None = None
    machine: str | None = None
    install_id: str | None = None
    found_by_address: bool = False
    found_by_time: bool = False

    @property
    def id(self) -> str:
        """The event's id."""
        return self.event.id

    @property
    def order(self) -> tuple[datetime, bool, int, str]:
        """The place in a timeline: by time, then as the stream has it."""
        return self.event.time, self.seq is None, self.seq or 0, self.event.id

    def shown(self) -> dict[str, Any]:
        """The CloudEvents document with what was found out put in, and its place in the stream."""
        document: dict[str, Any] = json.loads(self.document)
        known = {"mac": self.mac, "machine": self.machine, "install_id": self.install_id}
        document["data"] = {**document["data"], **known}
        document["subject"] = self.machine or self.mac or ""
        return {**document, "sequence": self.seq}


@dataclass(frozen=True)
class Filter:
    """Which events are asked for. `type` may end in `.*`; `since` is a time."""

    machine: str | None = None
    type: str | None = None
    install: str | None = None
    mac: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def passes(self, entry: Entry) -> bool:
        """Whether an event is asked for."""
        wanted = ((self.machine, entry.machine), (self.install, entry.install_id), (self.mac, entry.mac))
        return (
            all(value is None or value == is_ for value, is_ in wanted)
            and (self.since is None or entry.event.time >= self.since)
            and (self.until is None or entry.event.time < self.until)
            and (self.type is None or _matches(entry.event.TYPE, self.type))
        )


def _matches(event_type: str, wanted: str) -> bool:
    return any(
        event_type.startswith(part[:-1]) if part.endswith(".*") else event_type == part for part in wanted.split(",")
    )


def sequences(session: Session, ids: Iterable[str]) -> dict[str, int | None]:
    """The place in the stream of each event that is known."""
    found: dict[str, int | None] = {}
    for part in in_parts(ids):
        query = select(EventRow.id, EventRow.seq).where(EventRow.id.in_(part))
        found |= {row.id: row.seq for row in session.execute(query)}
    return found


def add(session: Session, entries: Sequence[Entry]) -> None:
    """Store new events."""
    if entries:
        session.execute(insert(EventRow), [_values(entry) for entry in entries])


def change(session: Session, entries: Sequence[Entry]) -> None:
    """Store what was found out since about known events."""
    keys = ("id", "seq", "mac", "machine", "install_id", "found_by_address", "found_by_time")
    if entries:
        session.execute(update(EventRow), [{key: _values(entry)[key] for key in keys} for entry in entries])


def returned(session: Session, ids: Iterable[str]) -> list[Entry]:
    """Known events by their ids."""
    rows = [row for part in in_parts(ids) for row in session.scalars(select(EventRow).where(EventRow.id.in_(part)))]
    return [_read(row) for row in rows]


def unpublished(session: Session) -> list[Entry]:
    """Our own events that did not come back from the stream yet, the oldest first."""
    query = select(EventRow).where(EventRow.seq.is_(None)).order_by(EventRow.time, EventRow.id)
    return [_read(row) for row in session.scalars(query)]


def last_sequence(session: Session) -> int:
    """The highest place in the stream that is known here."""
    return session.scalar(select(func.max(EventRow.seq))) or 0


def of_install(session: Session, install_id: str, types: Iterable[str] = ()) -> list[Entry]:
    """The events of an install, unordered; of these types only, if any are given."""
    query = select(EventRow).where(EventRow.install_id == install_id)
    names = list(types)
    return [_read(row) for row in session.scalars(query.where(EventRow.type.in_(names)) if names else query)]


def lease_at(session: Session, ip: str, time: datetime) -> Entry | None:
    """The last that happened to an address up to a time: who had it, or that it was given back."""
    query = select(EventRow).where(EventRow.ip == ip, EventRow.type.in_(LEASES), EventRow.time <= time)
    row = session.scalars(query.order_by(EventRow.time.desc(), EventRow.id.desc()).limit(1)).first()
    return _read(row) if row else None


def leases_around(session: Session, ips: Iterable[str], since: datetime) -> list[Entry]:
    """What happened to these addresses since a time, and the last that had happened to each before."""
    found: list[Entry] = []
    for part in in_parts(ips):
        at = select(EventRow).where(EventRow.ip.in_(part), EventRow.type.in_(LEASES))
        last = select(EventRow.ip, func.max(EventRow.time).label("time"))
        last = last.where(EventRow.ip.in_(part), EventRow.type.in_(LEASES), EventRow.time < since).group_by(EventRow.ip)
        before = last.subquery()
        found += [_read(row) for row in session.scalars(at.where(EventRow.time >= since))]
        pairs = at.join(before, and_(EventRow.ip == before.c.ip, EventRow.time == before.c.time))
        found += [_read(row) for row in session.scalars(pairs)]
    return found


def nameless_at(session: Session, ips: Iterable[str], since: datetime) -> list[Entry]:
    """Events that name no machine themselves, from these addresses, since a time."""
    query = select(EventRow).where(EventRow.time >= since)
    query = query.where(EventRow.mac.is_(None) | EventRow.found_by_address)
    return [_read(row) for part in in_parts(ips) for row in session.scalars(query.where(EventRow.ip.in_(part)))]


def strangers(session: Session, macs: Iterable[str]) -> list[Entry]:
    """Events of hardware addresses that nobody had registered."""
    query = select(EventRow).where(EventRow.machine.is_(None))
    return [_read(row) for part in in_parts(macs) for row in session.scalars(query.where(EventRow.mac.in_(part)))]


def loose(session: Session, machines: Iterable[str], since: datetime) -> list[Entry]:
    """Events of machines since a time that name no install themselves."""
    query = select(EventRow).where(EventRow.time >= since)
    query = query.where(EventRow.install_id.is_(None) | EventRow.found_by_time)
    return [
        _read(row) for part in in_parts(machines) for row in session.scalars(query.where(EventRow.machine.in_(part)))
    ]


def of_machine(session: Session, machine: str, since: datetime, count: int) -> list[Entry]:
    """The latest events of a machine since a time, the oldest first."""
    query = select(EventRow).where(EventRow.machine == machine, EventRow.time >= since)
    rows = [_read(row) for row in session.scalars(query.order_by(EventRow.time.desc()).limit(count))]
    return rows[::-1]


def history(
    session: Session, wanted: Filter, count: int, *, after: int = 0, before: int | None = None, newest: bool = False
) -> list[Entry]:
    """Events in the order of the stream, from behind `after`; or the newest first, from before `before`."""
    query = _filtered(select(EventRow), wanted).where(EventRow.seq > after)
    query = query.where(EventRow.seq < before) if before is not None else query
    query = query.order_by(EventRow.seq.desc() if newest else EventRow.seq).limit(count)
    return [_read(row) for row in session.scalars(query)]


def _filtered(query: Select[EventRow], wanted: Filter) -> Select[EventRow]:
    exact = ((EventRow.machine, wanted.machine), (EventRow.install_id, wanted.install), (EventRow.mac, wanted.mac))
    for column, value in exact:
        query = query.where(column == value) if value is not None else query
    query = query.where(_of_type(wanted.type)) if wanted.type is not None else query
    query = query.where(EventRow.time >= wanted.since) if wanted.since else query
    return query.where(EventRow.time < wanted.until) if wanted.until else query


def _of_type(wanted: str) -> ColumnElement[bool]:
    parts = wanted.split(",")
    names = [part for part in parts if not part.endswith(".*")]
    prefixes = [part[:-1] for part in parts if part.endswith(".*")]
    return or_(EventRow.type.in_(names), *(EventRow.type.startswith(prefix, autoescape=True) for prefix in prefixes))


def reject(session: Session, seq: int, subject: str, reason: str, data: bytes) -> None:
    """Keep a message that is no event."""
    if session.get(RejectedRow, seq) is None:
        session.add(RejectedRow(seq=seq, subject=subject, reason=reason, data=data))


def _values(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.event.id,
        "seq": entry.seq,
        "type": entry.event.TYPE,
        "time": entry.event.time,
        "mac": entry.mac,
        "machine": entry.machine,
        "install_id": entry.install_id,
        "ip": entry.event.ip,
        "found_by_address": entry.found_by_address,
        "found_by_time": entry.found_by_time,
        "document": entry.document,
    }


def _read(row: EventRow) -> Entry:
    return Entry(
        event=event_of(row.document.encode()),
        document=row.document,
        seq=row.seq,
        mac=row.mac,
        machine=row.machine,
        install_id=row.install_id,
        found_by_address=row.found_by_address,
        found_by_time=row.found_by_time,
    )
