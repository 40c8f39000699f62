"""Declarations become rows: planned against what stands, refused whole with every fault, or done whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from libs.events import MachineChanged, MachineRegistered, MachineRemoved
from services.inventory.ledger import Work
from services.inventory.lifecycle import ACTIVE
from services.inventory.repository import deliveries, installs
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository.database import Session
from services.inventory.repository.fleet import SITE, Stored
from services.inventory.resources.check import Standing, check
from services.inventory.resources.faults import Fault, FleetError
from services.inventory.resources.fleet import KINDS, Fleet, Machine, Resource

Key = tuple[str, str]  # kind and name
SHARED = ("subnets", "images", "profiles")  # a change of one of these may change any machine's document


@dataclass
class Plan:
    """What a declaration would do."""

    fleet: Fleet
    created: list[Key] = field(default_factory=list)
    changed: list[Key] = field(default_factory=list)
    unchanged: list[Key] = field(default_factory=list)
    removed: list[Key] = field(default_factory=list)
    before: dict[Key, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def touched(self) -> set[Key]:
        """What is new or differs."""
        return {*self.created, *self.changed}

    def index(self, kind: str, name: str) -> int | None:
        """The place of a resource in the declaration."""
        names = [resource.name for resource in self.fleet.of(kind)]
        return names.index(name) if name in names else None


def plan(session: Session, fleet: Fleet, *, prune: bool = False, removals: Iterable[Key] = ()) -> Plan:
    """What `fleet` would do; `prune` removes what it leaves out of each kind that it has. Raises FleetError."""
    fleet = _completed(session, fleet)
    found = Plan(fleet, removed=list(removals))
    for kind in KINDS:
        _compare(session, found, kind, prune=prune and kind in fleet.model_fields_set)
    _compare_site(session, found)
    faults = [*check(fleet, _standing(session, found)), *_in_use(session, found)]
    if faults:
        raise FleetError(faults)
    return found


def _completed(session: Session, fleet: Fleet) -> Fleet:
    known = stored_fleet.resources(session, "webhooks") if fleet.webhooks else {}
    hooks = [h.completed_by(known[h.name].resource) if h.name in known else h for h in fleet.webhooks]
    return fleet.model_copy(update={"webhooks": hooks}) if hooks else fleet


def _compare(session: Session, found: Plan, kind: str, *, prune: bool) -> None:
    declared = {resource.name: resource for resource in found.fleet.of(kind)}
    stored = _stored(session, kind, None if prune else set(declared))
    for name, resource in declared.items():
        known = stored.get(name)
        if known is None:
            found.created.append((kind, name))
        elif dict(known.spec) == resource.spec():
            found.unchanged.append((kind, name))
        else:
            found.changed.append((kind, name))
            found.before[kind, name] = known.spec
    if prune:
        found.removed += [(kind, name) for name in stored if name not in declared]


def _compare_site(session: Session, found: Plan) -> None:
    if found.fleet.site is not None:
        same = stored_fleet.site(session) == found.fleet.site
        (found.unchanged if same else found.changed).append((SITE, SITE))


def _stored(session: Session, kind: str, names: set[str] | None) -> Mapping[str, Stored[Any]]:
    if kind == "machines":
        return stored_fleet.machines(session, names)
    return stored_fleet.resources(session, kind)


def _standing(session: Session, found: Plan) -> Standing:
    gone = {*found.removed, *((kind, r.name) for kind in KINDS for r in found.fleet.of(kind))}
    rest = {kind: _rest(session, kind, gone) for kind in SHARED}
    if any(kind in SHARED for kind, _ in (*found.touched, *found.removed)):
        machines = stored_fleet.addressed_or_profiled(session)
    else:
        machines = {}
    declared = found.fleet.machines
    macs = (mac for machine in declared for mac in machine.macs)
    addresses = (str(machine.address) for machine in declared if machine.address)
    machines |= stored_fleet.neighbours(session, macs, addresses)
    return Standing(
        subnets=rest["subnets"],
        images=set(rest["images"]),
        profiles=rest["profiles"],
        machines={name: machine for name, machine in machines.items() if ("machines", name) not in gone},
    )


def _rest(session: Session, kind: str, gone: set[Key]) -> dict[str, Any]:
    stored = stored_fleet.resources(session, kind)
    return {name: known.resource for name, known in stored.items() if (kind, name) not in gone}


def _in_use(session: Session, found: Plan) -> list[Fault]:
    """What an install that is under way still needs cannot be removed."""
    machines = [name for kind, name in found.removed if kind == "machines"]
    profiles = {name for kind, name in found.removed if kind == "profiles"}
    stored = stored_fleet.machines(session, machines)
    busy = [name for name, known in stored.items() if known.state in ACTIVE]
    faults = [Fault("machines", f"an install of machine {name!r} is under way", "cancel it first") for name in busy]
    if profiles:
        running = installs.listed(session, 1_000_000, state="active")
        used = sorted({(install.profile, install.machine) for install in running if install.profile in profiles})
        faults += [
            Fault("profiles", f"the install of {machine!r} uses {name!r}", "cancel it first") for name, machine in used
        ]
    return faults


# --- doing it -----------------------------------------------------------------------------------------------------


def enact(work: Work, found: Plan) -> None:
    """Do what was planned in this very transaction."""
    for kind, name in found.removed:
        _remove(work, kind, name)
    _put_machines(work, found)
    for kind, name in sorted(found.touched):
        index = found.index(kind, name) if kind in KINDS else None
        if kind == SITE and found.fleet.site is not None:
            stored_fleet.put_spec(work.session, SITE, SITE, found.fleet.site.spec(), work.now)
        elif kind != "machines" and index is not None:
            resource: Resource = found.fleet.of(kind)[index]
            stored_fleet.put_spec(work.session, kind, name, resource.spec(), work.now)
        if kind == "webhooks":
            deliveries.hasten(work.session, name, work.now)
        work.effects.everything |= kind in (*SHARED, SITE)


def _put_machines(work: Work, found: Plan) -> None:
    by_name = {machine.name: machine for machine in found.fleet.machines}
    added = [by_name[name] for kind, name in found.created if kind == "machines"]
    changed = [by_name[name] for kind, name in found.changed if kind == "machines"]
    stored_fleet.save_machines(work.session, added, changed, work.now)
    work.record(
        *(MachineRegistered(**_about(work, machine), spec=machine.spec()) for machine in added),
        *(
            MachineChanged(**_about(work, machine), spec=machine.spec(), changed=_differing(found, machine))
            for machine in changed
        ),
    )
    work.effects.machines |= {machine.name for machine in (*added, *changed)}


def _about(work: Work, machine: Machine) -> dict[str, Any]:
    return {"time": work.now, "mac": machine.macs[0], "machine": machine.name}


def _differing(found: Plan, machine: Machine) -> tuple[str, ...]:
    before, after = found.before["machines", machine.name], machine.spec()
    return tuple(sorted(key for key in {*before, *after} if before.get(key) != after.get(key)))


def _remove(work: Work, kind: str, name: str) -> None:
    if kind == "machines":
        stored = stored_fleet.machines(work.session, [name])
        work.record(*(MachineRemoved(**_about(work, known.resource)) for known in stored.values()))
        work.effects.machines.add(name)
    elif kind == "webhooks":
        deliveries.forget(work.session, name)
    stored_fleet.remove(work.session, kind, name)
    work.effects.everything |= kind in SHARED
