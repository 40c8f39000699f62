"""The fleet as it was declared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import delete, insert, or_, select, update

from services.inventory.models import MachineRow, MacRow, ResourceRow, TagRow
from services.inventory.repository.database import Session, in_parts
from services.inventory.repository.installs import Install
from services.inventory.resources.fleet import KINDS, Machine, Resource, Site
from services.inventory.selectors import Selector

SITE = "site"
R = TypeVar("R", bound=Resource, covariant=True)


@dataclass(frozen=True)
class Stored(Generic[R]):
    """A declaration in the database. Of a machine also the latest install and its state."""

    resource: R
    spec: Mapping[str, Any]
    created_at: datetime
    changed_at: datetime
    install_id: str | None = None
    state: str | None = None


# --- subnets, images, profiles, webhooks, the site ----------------------------------------------------------------


def site(session: Session) -> Site:
    """What holds for every machine."""
    row = session.get(ResourceRow, (SITE, SITE))
    return Site.model_validate(row.spec) if row else Site()


def resources(session: Session, kind: str) -> dict[str, Stored[Any]]:
    """All of a kind but machines, by name."""
    rows = session.scalars(select(ResourceRow).where(ResourceRow.kind == kind).order_by(ResourceRow.name))
    return {row.name: _stored(row) for row in rows}


def resource(session: Session, kind: str, name: str) -> Stored[Any] | None:
    """One of any kind."""
    if kind == "machines":
        return machines(session, [name]).get(name)
    row = session.get(ResourceRow, (kind, name))
    return _stored(row) if row else None


def put_spec(session: Session, kind: str, name: str, spec: dict[str, Any], now: datetime) -> None:
    """Store a declaration that is no machine's."""
    row = session.get(ResourceRow, (kind, name))
    if row is None:
        session.add(ResourceRow(kind=kind, name=name, spec=spec, created_at=now, changed_at=now))
    else:
        row.spec, row.changed_at = spec, now
    session.flush()


def remove(session: Session, kind: str, name: str) -> None:
    """Forget a declaration of any kind."""
    if kind == "machines":
        session.execute(delete(MachineRow).where(MachineRow.name == name))
    else:
        session.execute(delete(ResourceRow).where(ResourceRow.kind == kind, ResourceRow.name == name))


def _stored(row: ResourceRow) -> Stored[Resource]:
    return Stored(KINDS[row.kind].model_validate(row.spec), row.spec, row.created_at, row.changed_at)


# --- machines ---------------------------------------------------------------------------------------------------


def machines(session: Session, names: Iterable[str] | None = None) -> dict[str, Stored[Machine]]:
    """Machines by name: these, or all."""
    query = select(MachineRow).order_by(MachineRow.name)
    if names is None:
        return {row.name: _machine(row) for row in session.scalars(query)}
    parts = (session.scalars(query.where(MachineRow.name.in_(part))) for part in in_parts(set(names)))
    return {row.name: _machine(row) for rows in parts for row in rows}


def machine_names(session: Session) -> list[str]:
    """The names of all machines."""
    return list(session.scalars(select(MachineRow.name).order_by(MachineRow.name)))


def owners(session: Session, macs: Iterable[str]) -> dict[str, str]:
    """The machine of each registered hardware address among these."""
    found: dict[str, str] = {}
    for part in in_parts(set(macs)):
        rows = session.execute(select(MacRow.mac, MacRow.machine).where(MacRow.mac.in_(part)))
        found |= {row.mac: row.machine for row in rows}
    return found


def neighbours(session: Session, macs: Iterable[str], addresses: Iterable[str]) -> dict[str, Machine]:
    """The machines that have one of these hardware addresses or addresses."""
    names = set(owners(session, macs).values())
    for part in in_parts(addresses):
        names |= set(session.scalars(select(MachineRow.name).where(MachineRow.address.in_(part))))
    return {name: stored.resource for name, stored in machines(session, names).items()}


def addressed_or_profiled(session: Session) -> dict[str, Machine]:
    """The machines whose declaration refers to a subnet or a profile."""
    query = select(MachineRow).where(or_(MachineRow.address.is_not(None), MachineRow.profile.is_not(None)))
    return {row.name: Machine.model_validate(row.spec) for row in session.scalars(query)}


def of_profiles(session: Session, profiles: Iterable[str]) -> list[str]:
    """The machines that have one of these profiles."""
    names: list[str] = []
    for part in in_parts(profiles):
        names += session.scalars(select(MachineRow.name).where(MachineRow.profile.in_(part)))
    return names


def save_machines(session: Session, added: Sequence[Machine], changed: Sequence[Machine], now: datetime) -> None:
    """Store machines that are new and machines that differ from what is stored."""
    if added:
        rows = [{**_columns(machine, now), "created_at": now} for machine in added]
        session.execute(insert(MachineRow), rows)
    for part in in_parts(machine.name for machine in changed):
        session.execute(delete(MacRow).where(MacRow.machine.in_(part)))
        session.execute(delete(TagRow).where(TagRow.machine.in_(part)))
        # Addresses may be exchanged between machines: none may seem taken on the way.
        session.execute(update(MachineRow).where(MachineRow.name.in_(part)).values(address=None))
    if changed:
        session.execute(update(MachineRow), [_columns(machine, now) for machine in changed])
    both = [*added, *changed]
    macs = [{"mac": mac, "machine": machine.name} for machine in both for mac in machine.macs]
    tags = [{"machine": m.name, "key": key, "value": value} for m in both for key, value in m.tags.items()]
    for table, found in ((MacRow, macs), (TagRow, tags)):
        if found:
            session.execute(insert(table), found)


def show_state(session: Session, installs: Iterable[Install]) -> None:
    """Write the state of these installs, the latest of their machines, beside the machines."""
    values = [{"name": i.machine, "install_id": i.id, "state": str(i.state)} for i in installs]
    if values:
        known = {name for part in in_parts(row["name"] for row in values) for name in _existing(session, part)}
        known_values = [row for row in values if row["name"] in known]
        if known_values:
            session.execute(update(MachineRow), known_values)


def _existing(session: Session, names: Sequence[str]) -> Iterable[str]:
    return session.scalars(select(MachineRow.name).where(MachineRow.name.in_(names)))


def listed(
    session: Session,
    count: int,
    *,
    after: str = "",
    state: str | None = None,
    tags: Mapping[str, str] | None = None,
    profile: str | None = None,
    external_id: str | None = None,
    text: str | None = None,
) -> list[Stored[Machine]]:
    """Machines by name, from behind `after`; `text` is part of a name, hardware address, address or external id."""
    query = select(MachineRow).where(MachineRow.name > after).order_by(MachineRow.name).limit(count)
    query = query.where(MachineRow.state.is_(None)) if state == "none" else query
    if state and state != "none":
        query = query.where(MachineRow.state == state)
    query = query.where(MachineRow.profile == profile) if profile else query
    query = query.where(MachineRow.external_id == external_id) if external_id else query
    for key, value in (tags or {}).items():
        tagged = select(TagRow.machine).where(TagRow.key == key, TagRow.value == value)
        query = query.where(MachineRow.name.in_(tagged))
    if text:
        with_mac = select(MacRow.machine).where(MacRow.mac.contains(text.lower(), autoescape=True))
        columns = (MachineRow.name, MachineRow.address, MachineRow.external_id)
        query = query.where(or_(*(c.icontains(text, autoescape=True) for c in columns), MachineRow.name.in_(with_mac)))
    return [_machine(row) for row in session.scalars(query)]


def selected(session: Session, selector: Selector) -> list[Stored[Machine]]:
    """The machines that a selector means, by name."""
    narrowed = selector.exact if selector.names and selector.exact == selector.names else None
    found = machines(session, narrowed).values()
    return [
        stored
        for stored in found
        if selector.picks(stored.resource.name, stored.resource.tags, stored.resource.profile, stored.state)
    ]


def _columns(machine: Machine, now: datetime) -> dict[str, Any]:
    return {
        "name": machine.name,
        "spec": machine.spec(),
        "profile": machine.profile,
        "address": str(machine.address) if machine.address else None,
        "external_id": machine.external_id,
        "changed_at": now,
    }


def _machine(row: MachineRow) -> Stored[Machine]:
    machine = Machine.model_validate(row.spec)
    return Stored(machine, row.spec, row.created_at, row.changed_at, row.install_id, row.state)
