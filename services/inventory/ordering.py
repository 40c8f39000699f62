"""Orders: installs begin, are withdrawn, and begin again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.bus import Bus
from libs.desired import MachineDocument
from libs.envelope import new_id
from libs.events import InstallCancelled, InstallOrdered
from services.inventory.desired import machine_document
from services.inventory.ledger import Ledger, Work
from services.inventory.lifecycle import ACTIVE, State
from services.inventory.publishing import catalogue
from services.inventory.rendering import Verdict, check
from services.inventory.repository import fleet, installs
from services.inventory.repository.database import Session
from services.inventory.repository.fleet import Stored
from services.inventory.repository.installs import Install
from services.inventory.resources.faults import Fault, FleetError, nearest
from services.inventory.resources.fleet import Machine, Profile
from services.inventory.selectors import Selector, SelectorError, parse_selector


class Refused(Exception):
    """An order contradicts what is under way; `faults` say where."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Order:
    """Which machines are to be installed, and with which profile if not with their own."""

    selector: Selector
    profile: str | None = None


def order_of(machines: Sequence[str] | None, selector: str | None, profile: str | None) -> Order:
    """Read an order. Raises FleetError."""
    if (machines is None) == (selector is None):
        raise FleetError([Fault("", "name either `machines` or a `selector`", "leave the other one out")])
    try:
        if selector is not None:
            return Order(parse_selector(selector), profile)
    except SelectorError as error:
        raise FleetError([Fault("selector", str(error))]) from None
    if not machines:
        raise FleetError([Fault("machines", "no machine is named")])
    return Order(Selector(names=tuple(dict.fromkeys(machines))), profile)


async def validated(ledger: Ledger, bus: Bus, order: Order) -> list[str]:
    """Have kickstart check the answer files of an order; returns warnings. Raises FleetError, Refused."""
    verdict = await check(bus, await ledger.read(lambda session: _documents(session, order)))
    refuse_unrenderable(verdict)
    return verdict.warnings


def refuse_unrenderable(verdict: Verdict) -> None:
    """Raises FleetError where a machine's answer file is wrong."""
    faults = [Fault(f"machines.{name}", str(errors[0])) for name, errors in verdict.errors.items()]
    if faults:
        raise FleetError(faults[:100])


def _documents(session: Session, order: Order) -> list[MachineDocument]:
    made_of = catalogue(session)
    machines = [stored.resource for stored in _selected(session, order)]
    as_ordered = [machine.model_copy(update={"profile": order.profile or machine.profile}) for machine in machines]
    return [machine_document(machine, made_of, None) for machine in as_ordered]


def place(work: Work, order: Order, by: str) -> list[Install]:
    """Order one install a machine. Raises FleetError where the order is wrong, Refused where it cannot be now."""
    selected = _selected(work.session, order)
    _refuse_busy(selected)
    return _begin(work, [(stored.resource, order.profile) for stored in selected], by)


def cancel(work: Work, install_id: str, by: str) -> Install | None:
    """Withdraw an install; None where there is none. Raises Refused where it has ended."""
    install = installs.by_id(work.session, [install_id]).get(install_id)
    if install is None:
        return None
    if install.state is State.CANCELLED:
        return install
    if not install.active:
        raise Refused([Fault("", f"the install of {install.machine!r} is {install.state}; only one under way ends so")])
    work.record(InstallCancelled(time=work.now, mac=install.mac, machine=install.machine, install_id=install.id, by=by))
    return installs.by_id(work.session, [install_id])[install_id]


def retry(work: Work, install_id: str, by: str) -> Install | None:
    """Order again what an install was for, in its place if it is under way. Raises FleetError, Refused."""
    install = installs.by_id(work.session, [install_id]).get(install_id)
    if install is None:
        return None
    stored = fleet.machines(work.session, [install.machine]).get(install.machine)
    if stored is None:
        raise Refused([Fault("", f"there is no machine {install.machine!r} any more")])
    if stored.install_id != install.id and stored.state in ACTIVE:
        raise Refused([Fault("", f"a later install of {install.machine!r} is under way: {stored.install_id}")])
    if install.active:
        cancel(work, install.id, by)
    override = install.profile if install.profile != stored.resource.profile else None
    return _begin(work, [(stored.resource, override)], by)[0]


async def retry_validated(ledger: Ledger, bus: Bus, install_id: str) -> list[str]:
    """Have kickstart check the answer file before an install is ordered again; returns warnings."""

    def order(session: Session) -> list[MachineDocument]:
        install = installs.by_id(session, [install_id]).get(install_id)
        if install is None:
            return []
        return _documents(session, Order(Selector(names=(install.machine,)), install.profile))

    verdict = await check(bus, await ledger.read(order))
    refuse_unrenderable(verdict)
    return verdict.warnings


def _selected(session: Session, order: Order) -> list[Stored[Machine]]:
    selected = fleet.selected(session, order.selector)
    found = {stored.resource.name for stored in selected}
    missing = [name for name in order.selector.exact if name not in found]
    if missing:
        known = fleet.machine_names(session)
        raise FleetError([Fault("machines", f"there is no machine {name!r}", nearest(name, known)) for name in missing])
    if not selected:
        raise FleetError([Fault("selector", "no machine is selected")])
    return selected


def _refuse_busy(selected: Iterable[Stored[Machine]]) -> None:
    busy = [
        Fault(
            f"machines.{stored.resource.name}",
            f"an install of it is under way ({stored.state}): {stored.install_id}",
            "cancel or retry that one",
        )
        for stored in selected
        if stored.state in ACTIVE
    ]
    if busy:
        raise Refused(busy)


def _begin(work: Work, wanted: Sequence[tuple[Machine, str | None]], by: str) -> list[Install]:
    profiles = {name: stored.resource for name, stored in fleet.resources(work.session, "profiles").items()}
    events = [_ordered(work, machine, profiles, override, by) for machine, override in wanted]
    work.record(*events)
    found = installs.by_id(work.session, (event.install_id for event in events if event.install_id))
    return [found[event.install_id or ""] for event in events]


def _ordered(
    work: Work, machine: Machine, profiles: dict[str, Profile], override: str | None, by: str
) -> InstallOrdered:
    name = override or machine.profile
    if not name:
        remedy = "give it one, or name one in the order"
        raise FleetError([Fault(f"machines.{machine.name}.profile", "the machine has no profile", remedy)])
    profile = profiles.get(name)
    if profile is None:
        raise FleetError([Fault("profile", f"there is no profile {name!r}", nearest(name, profiles))])
    return InstallOrdered(
        time=work.now,
        mac=machine.macs[0],
        machine=machine.name,
        install_id=new_id()[:16],
        profile=profile.name,
        image=profile.image,
        by=by,
        limits=dict(profile.limits),
    )
