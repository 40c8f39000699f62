"""A case for diagnosis, and the ways to look for evidence in it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.envelope import Event
from libs.events import LeaseAcknowledged, MachineUnknown
from services.inventory.lifecycle import FIRMWARE, RULED, Life


@dataclass(frozen=True)
class Case:
    """One install as it stands: its events by time, and unregistered hardware seen since it was ordered."""

    life: Life
    events: Sequence[Event]
    strangers: Sequence[Event] = ()

    @property
    def since(self) -> datetime | None:
        """When the last milestone was passed."""
        return self.life.reached.get(self.life.place)

    @property
    def recent(self) -> list[Event]:
        """What happened since then."""
        return [event for event in self.events if self.since is None or event.time >= self.since]

    @property
    def address(self) -> str:
        """The last address the machine had."""
        return next((event.ip for event in reversed(self.events) if event.ip), "no address")

    @property
    def lease(self) -> LeaseAcknowledged | None:
        """The last address that its firmware was given."""
        leases = (event for event in reversed(self.events) if isinstance(event, LeaseAcknowledged))
        return next((lease for lease in leases if lease.client in FIRMWARE), None)

    @property
    def boot_file(self) -> str:
        """The boot program that the lease named."""
        return (self.lease and self.lease.boot_file) or "none"

    @property
    def arch(self) -> str:
        """The architecture that its firmware says it has."""
        return (self.lease and self.lease.arch) or "not said"


Finder = Callable[[Case], Sequence[Event]]


def seen(kind: type[Event], least: int = 1, **wanted: frozenset[str]) -> Finder:
    """At least so many events of a type since the last milestone, with these values."""

    def find(case: Case) -> Sequence[Event]:
        fits = [event for event in case.recent if isinstance(event, kind)]
        fits = [event for event in fits if all(getattr(event, name) in values for name, values in wanted.items())]
        return fits if len(fits) >= least else []

    return find


def nothing(case: Case) -> Sequence[Event]:
    """That nothing else came: what proves the last milestone is all the evidence there is."""
    return [event for event in case.events if event.TYPE in RULED][-3:]


def no_boot_file(case: Case) -> Sequence[Event]:
    """The lease named no boot program."""
    return [case.lease] if case.lease and not case.lease.boot_file else []


def strangers(case: Case) -> Sequence[Event]:
    """Somebody else asked for an address since the order."""
    return [event for event in case.strangers if isinstance(event, MachineUnknown)]
