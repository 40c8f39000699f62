"""Installs: what was ordered, and the life that the events made of it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, and_, insert, or_, select, update

from services.inventory.lifecycle import ACTIVE, ENDED, Life, State, begin, deadline
from services.inventory.models import InstallRow
from services.inventory.repository.database import Session, in_parts

_LIFE = TypeAdapter(Life)


@dataclass
class Install:
    """One install of one machine. `token` opens its answer file, and is None once it ended."""

    id: str
    machine: str
    mac: str | None
    profile: str
    image: str
    limits: dict[str, int]
    ordered_at: datetime
    ordered_by: str
    token: str | None
    life: Life = field(default_factory=Life)

    @property
    def state(self) -> State:
        """The state of the contract."""
        return self.life.state

    @property
    def active(self) -> bool:
        """Whether it keeps its machine from another order."""
        return self.state in ACTIVE

    def covers(self, time: datetime) -> bool:
        """Whether what happens to the machine at that time belongs to this install, if no other is later."""
        return self.ordered_at <= time and (self.life.closed is None or time <= self.life.closed)


def new(
    *,
    id: str,
    machine: str,
    mac: str | None,
    profile: str,
    image: str,
    limits: dict[str, int],
    ordered_at: datetime,
    ordered_by: str,
    token: str | None,
) -> Install:
    """An install at its beginning."""
    return Install(id, machine, mac, profile, image, limits, ordered_at, ordered_by, token, begin(ordered_at))


def save(session: Session, installs: Iterable[Install], *, added: Collection[str] = ()) -> None:
    """Write installs; those with an id in `added` are new."""
    values = [_values(install) for install in installs]
    fresh = [row for row in values if row["id"] in added]
    known = [row for row in values if row["id"] not in added]
    if fresh:
        session.execute(insert(InstallRow), fresh)
    if known:
        session.execute(update(InstallRow), known)


def by_id(session: Session, ids: Iterable[str]) -> dict[str, Install]:
    """Installs by their ids, as far as there are such."""
    return _by(session, InstallRow.id, ids)


def of_machines(session: Session, machines: Iterable[str]) -> dict[str, Install]:
    """Every install of these machines, by id."""
    return _by(session, InstallRow.machine, machines)


def overdue(session: Session, now: datetime, count: int) -> list[Install]:
    """Installs whose deadline passed, the longest overdue first."""
    query = select(InstallRow).where(InstallRow.deadline_at <= now).order_by(InstallRow.deadline_at).limit(count)
    return [_read(row) for row in session.scalars(query)]


def next_deadline(session: Session) -> datetime | None:
    """The earliest deadline there is."""
    query = select(InstallRow.deadline_at).where(InstallRow.deadline_at.is_not(None))
    return session.scalar(query.order_by(InstallRow.deadline_at).limit(1))


def without_token(session: Session) -> list[Install]:
    """Active installs whose token is not known: the database was rebuilt from the stream."""
    query = select(InstallRow).where(InstallRow.token.is_(None), InstallRow.state.not_in([str(s) for s in ENDED]))
    return [_read(row) for row in session.scalars(query)]


def listed(
    session: Session,
    count: int,
    *,
    machine: str | None = None,
    state: str | None = None,
    profile: str | None = None,
    before: tuple[datetime, str] | None = None,
) -> list[Install]:
    """Installs, the newest first, from behind the place `before`."""
    query = select(InstallRow).order_by(InstallRow.ordered_at.desc(), InstallRow.id.desc()).limit(count)
    if state == "active":
        query = query.where(InstallRow.state.in_([str(state) for state in ACTIVE]))
    elif state:
        query = query.where(InstallRow.state == state)
    for column, value in ((InstallRow.machine, machine), (InstallRow.profile, profile)):
        query = query.where(column == value) if value else query
    return [_read(row) for row in session.scalars(query.where(*_behind(before)))]


def _behind(before: tuple[datetime, str] | None) -> list[ColumnElement[bool]]:
    if before is None:
        return []
    time, id = before
    return [or_(InstallRow.ordered_at < time, and_(InstallRow.ordered_at == time, InstallRow.id < id))]


def _by(session: Session, column: Any, values: Iterable[str]) -> dict[str, Install]:
    found: dict[str, Install] = {}
    for part in in_parts(set(values)):
        found |= {row.id: _read(row) for row in session.scalars(select(InstallRow).where(column.in_(part)))}
    return found


def _values(install: Install) -> dict[str, Any]:
    life = install.life
    return {
        "id": install.id,
        "machine": install.machine,
        "mac": install.mac,
        "profile": install.profile,
        "image": install.image,
        "limits": install.limits,
        "ordered_at": install.ordered_at,
        "ordered_by": install.ordered_by,
        "token": install.token,
        "state": str(life.state),
        "milestone": str(life.milestone),
        "deadline_at": deadline(life, install.limits),
        "closed_at": life.closed,
        "entered_at": life.entered or install.ordered_at,
        "life": _LIFE.dump_python(life, mode="json"),
    }


def _read(row: InstallRow) -> Install:
    return Install(
        id=row.id,
        machine=row.machine,
        mac=row.mac,
        profile=row.profile,
        image=row.image,
        limits=row.limits,
        ordered_at=row.ordered_at,
        ordered_by=row.ordered_by,
        token=row.token,
        life=_LIFE.validate_python(row.life),
    )
