"""Gathers from the database what a diagnosis needs."""

from datetime import timedelta

from services.inventory.evidence import Case
from services.inventory.repository import events as history
from services.inventory.repository.database import Session
from services.inventory.repository.events import Entry, Filter
from services.inventory.repository.installs import Install

MOST = 2000  # events; an install that has more is a loop, which its latest events show as well
SKEW = timedelta(seconds=5)  # that the clocks of two services may differ


def case_of(session: Session, install: Install) -> Case:
    """The case of one install."""
    found: dict[str, Entry] = {entry.id: entry for entry in history.of_install(session, install.id)}
    if install.active:
        recent = history.of_machine(session, install.machine, install.ordered_at - SKEW, MOST)
        found |= {entry.id: entry for entry in recent}
    unknown = Filter(type="machine.unknown", since=install.ordered_at)
    strangers = history.history(session, unknown, 8) if install.active else []
    return Case(
        life=install.life,
        events=[entry.event for entry in sorted(found.values(), key=lambda entry: entry.order)[-MOST:]],
        strangers=[entry.event for entry in strangers],
    )
