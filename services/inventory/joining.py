"""Whose event is it? The machine by its hardware address or by the lease on an address; the install by the time.

What an event says itself is never doubted. What it leaves open is found out from what else is known, and found out
anew when more becomes known: an answer depends on the set of events alone, not on the order in which they came.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from libs.events import LeaseAcknowledged
from services.inventory.repository import events as history
from services.inventory.repository import fleet, installs
from services.inventory.repository.database import Session
from services.inventory.repository.events import LEASES, Entry
from services.inventory.repository.installs import Install


class Joiner:
    """What is known during one transaction: looked up once for many events, and kept up to date by `know…`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._entries: dict[str, Entry] = {}
        self._owners: dict[str, str] = {}
        self._installs: dict[str, Install] = {}
        self._machines: set[str] = set()
        self._installs_of: dict[str, set[str]] = defaultdict(set)
        self._at_address: dict[str, list[Entry]] = defaultdict(list)
        self._known_addresses: set[str] = set()  # all that happened there since is known
        self._known_since: datetime | None = None

    # --- what is known --------------------------------------------------------------------------------------

    def prepare(self, entries: Collection[Entry]) -> None:
        """Look up at once what these events will need."""
        macs = {entry.event.mac for entry in entries if entry.event.mac}
        self._owners |= fleet.owners(self._session, macs)
        named = {entry.event.machine for entry in entries if entry.event.machine}
        self._load_installs(named | set(self._owners.values()))
        said = {entry.event.install_id for entry in entries if entry.event.install_id} - set(self._installs)
        self.know_installs(installs.by_id(self._session, said).values())
        self._prepare_addresses(entries)

    def _prepare_addresses(self, entries: Collection[Entry]) -> None:
        nameless = {e.event.ip for e in entries if e.event.ip and not e.event.mac and not e.event.machine}
        leased = {e.event.ip for e in entries if e.event.ip and e.event.TYPE in LEASES}
        if nameless or leased:
            since = self._known_since = min(entry.event.time for entry in entries)
            self._known_addresses = nameless | leased
            self._know_all(history.leases_around(self._session, self._known_addresses, since))
            self._know_all(history.nameless_at(self._session, leased, since))

    def know_entry(self, entry: Entry) -> Entry:
        """The one object that stands for this event."""
        known = self._entries.setdefault(entry.id, entry)
        if known is entry and entry.event.ip:
            self._at_address[entry.event.ip].append(entry)
        return known

    def know_owner(self, machine: str, macs: Iterable[str]) -> None:
        """A machine has these hardware addresses from now on."""
        self._owners |= dict.fromkeys(macs, machine)

    def know_installs(self, found: Iterable[Install]) -> None:
        """There are these installs."""
        for install in found:
            self._installs.setdefault(install.id, install)
            self._installs_of[install.machine].add(install.id)

    def install(self, id: str | None) -> Install | None:
        """An install by its id."""
        return self._installs.get(id) if id else None

    def is_latest(self, install: Install) -> bool:
        """Whether no later install of its machine was ordered."""
        self._load_installs({install.machine})
        return install is max(self._of(install.machine), key=lambda other: (other.ordered_at, other.id))

    # --- whose an event is ----------------------------------------------------------------------------------

    def join(self, entry: Entry) -> bool:
        """Find out what the event leaves open. True if that differs from what was thought before."""
        before = (entry.mac, entry.machine, entry.install_id)
        event = entry.event
        entry.mac, entry.machine, entry.install_id = event.mac, event.machine, event.install_id
        entry.found_by_address = entry.found_by_time = False
        if not entry.mac and not entry.machine and event.ip:
            entry.mac = self._holder(event.ip, event.time)
            entry.found_by_address = entry.mac is not None
        if not entry.machine and entry.mac:
            entry.machine = self._owner(entry.mac)
        if not entry.install_id and entry.machine:
            entry.install_id = self._in_force(entry.machine, event.time)
            entry.found_by_time = entry.install_id is not None
        return before != (entry.mac, entry.machine, entry.install_id)

    def _holder(self, ip: str, time: datetime) -> str | None:
        known = [e for e in self._at_address[ip] if e.event.TYPE in LEASES and e.event.time <= time]
        if not self._knows(ip, time) and (stored := history.lease_at(self._session, ip, time)):
            known.append(stored)
        last = max(known, key=lambda e: (e.event.time, e.id), default=None)
        return last.event.mac if last and isinstance(last.event, LeaseAcknowledged) else None

    def _knows(self, ip: str, since: datetime) -> bool:
        return ip in self._known_addresses and self._known_since is not None and self._known_since <= since

    def _owner(self, mac: str) -> str | None:
        if mac not in self._owners:
            self._owners |= fleet.owners(self._session, [mac])
        return self._owners.get(mac)

    def _in_force(self, machine: str, time: datetime) -> str | None:
        self._load_installs({machine})
        earlier = [install for install in self._of(machine) if install.ordered_at <= time]
        last = max(earlier, key=lambda install: (install.ordered_at, install.id), default=None)
        return last.id if last and last.covers(time) else None

    def _of(self, machine: str) -> list[Install]:
        return [self._installs[id] for id in self._installs_of[machine]]

    def _load_installs(self, machines: set[str]) -> None:
        missing = machines - self._machines
        if missing:
            self._machines |= missing
            self.know_installs(installs.of_machines(self._session, missing).values())

    # --- what may have to be joined anew --------------------------------------------------------------------

    def from_address(self, ip: str, since: datetime) -> list[Entry]:
        """Events since a time that name no machine themselves and came from this address."""
        if not self._knows(ip, since):
            self._know_all(history.nameless_at(self._session, [ip], since))
        return [e for e in self._at_address[ip] if not e.event.mac and not e.event.machine and e.event.time >= since]

    def of_strangers(self, macs: Collection[str]) -> list[Entry]:
        """Events of hardware addresses that had no machine."""
        self._know_all(history.strangers(self._session, macs))
        return [e for e in self._entries.values() if e.mac in macs and not e.machine]

    def loose(self, machines: Collection[str], since: datetime) -> list[Entry]:
        """Events of machines since a time that name no install themselves."""
        self._know_all(history.loose(self._session, machines, since))
        found = (e for e in self._entries.values() if e.machine in machines and e.event.time >= since)
        return [e for e in found if not e.event.install_id]

    def of_install(self, install: Install, types: Iterable[str]) -> list[Entry]:
        """The events of an install."""
        self._know_all(history.of_install(self._session, install.id, types))
        return [entry for entry in self._entries.values() if entry.install_id == install.id]

    def _know_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.know_entry(entry)
