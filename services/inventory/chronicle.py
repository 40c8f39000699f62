"""The fold: events become history, and history becomes state, within one transaction.

`take` may be given any event any number of times: what is known already changes nothing, except that one of our own
learns its place in the stream when it comes back from there. The state is derived by `lifecycle` alone; what follows
from a change (derived events, deliveries to webhooks) is written in the same transaction as the change.
"""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from libs.envelope import Event, derived_id, encode
from libs.events import (
    InstallOrdered,
    LeaseAcknowledged,
    LeaseExpired,
    LeaseReleased,
    MachineBooted,
    MachineChanged,
    MachineRegistered,
    MachineRemoved,
    StateChanged,
)
from services.inventory import lifecycle
from services.inventory.joining import Joiner
from services.inventory.lifecycle import RULED, Life, State
from services.inventory.repository import deliveries, fleet, installs
from services.inventory.repository import events as history
from services.inventory.repository.database import Session
from services.inventory.repository.events import Entry
from services.inventory.repository.installs import Install
from services.inventory.resources.fleet import Machine

NEWS = timedelta(hours=24)  # an older event, read again from the stream, is no news to a chat room


@dataclass
class Effects:
    """What a transaction brought about, to be acted on once it is committed."""

    published: list[Event] = field(default_factory=list)  # ours, and new: to be put on the bus
    stored: list[Entry] = field(default_factory=list)  # they have their place in the stream since
    machines: set[str] = field(default_factory=set)  # their documents are to be written anew
    everything: bool = False  # so are all documents
    deliveries: bool = False  # webhooks have something to get
    deadlines: bool = False  # an install has another deadline


class Chronicle:
    """The history as one `record` or one `take` of a transaction sees it; the next one needs another."""

    def __init__(self, session: Session, *, site: str, now: datetime, effects: Effects) -> None:
        self._session = session
        self._site = site
        self._now = now
        self._effects = effects
        self._joiner = Joiner(session)
        self._new: dict[str, Entry] = {}
        self._changed: dict[str, Entry] = {}
        self._derived: dict[str, Entry] = {}
        self._folded: dict[str, Install] = {}
        self._opened: set[str] = set()
        self._registered: set[str] = set()

    def record(self, events: Iterable[Event]) -> None:
        """Take events of our own, that nobody has seen yet."""
        self.take([Entry(event, encode(event, site=self._site, service="inventory").decode()) for event in events])

    def take(self, arrivals: Collection[Entry]) -> None:
        """Fold events in the order given, and store all that follows."""
        unknown = self._strangers(arrivals)
        self._joiner.prepare(unknown)
        for entry in unknown:
            self._enter(entry)
        self._rejoin(self._joiner.of_strangers(self._registered))
        self._store()

    def _strangers(self, arrivals: Collection[Entry]) -> list[Entry]:
        """The arrivals that are not known. Our own that came back learn their place."""
        known = history.sequences(self._session, [entry.id for entry in arrivals])
        unknown: dict[str, Entry] = {}
        back: dict[str, int] = {}
        last = history.last_sequence(self._session)
        for entry in arrivals:
            if entry.id in unknown or entry.id in back or known.get(entry.id) is not None:
                continue
            if entry.seq is not None:
                # A stream that lost its end numbers anew: the history goes on behind what it holds.
                last = entry.seq = max(entry.seq, last + 1)
            if entry.id not in known:
                unknown[entry.id] = entry
            elif entry.seq is not None:
                back[entry.id] = entry.seq
        for entry in history.returned(self._session, back):
            entry.seq = back[entry.id]
            self._changed[self._joiner.know_entry(entry).id] = entry
            self._effects.stored.append(entry)
        return list(unknown.values())

    def _enter(self, entry: Entry) -> None:
        self._new[self._joiner.know_entry(entry).id] = entry
        self._joiner.join(entry)
        event = entry.event
        if isinstance(event, MachineRegistered | MachineChanged):
            self._know_machine(entry, event)
        elif isinstance(event, MachineRemoved) and entry.seq is not None and entry.machine:
            fleet.remove(self._session, "machines", entry.machine)
        elif isinstance(event, InstallOrdered):
            self._open(entry, event)
        self._fold(entry)
        if isinstance(event, LeaseAcknowledged | LeaseReleased | LeaseExpired) and event.ip:
            self._rejoin(self._joiner.from_address(event.ip, event.time))

    # --- the fleet, as the events tell it -------------------------------------------------------------------

    def _know_machine(self, entry: Entry, event: MachineRegistered | MachineChanged) -> None:
        """Its earlier events become its history. One that the database lost is read back from its event."""
        try:
            machine = Machine.model_validate(event.spec)
        except ValidationError:
            return
        if entry.seq is not None:
            stored = fleet.machines(self._session, [machine.name])
            both = ([], [machine]) if stored else ([machine], [])
            fleet.save_machines(self._session, *both, event.time)
            self._effects.machines.add(machine.name)
        self._joiner.know_owner(machine.name, machine.macs)
        self._registered.update(machine.macs)

    def _open(self, entry: Entry, event: InstallOrdered) -> None:
        if not event.install_id or not event.machine or self._joiner.install(event.install_id):
            return
        install = installs.new(
            id=event.install_id,
            machine=event.machine,
            mac=event.mac,
            profile=event.profile,
            image=event.image,
            limits=dict(event.limits),
            ordered_at=event.time,
            ordered_by=event.by,
            # Read back from the stream, its token is not known here: the machine's document may still hold it.
            token=secrets.token_urlsafe(24) if entry.seq is None else None,
        )
        self._opened.add(install.id)
        self._folded[install.id] = install
        self._joiner.know_installs([install])
        self._effects.machines.add(install.machine)
        if entry.seq is not None:
            self._rejoin(self._joiner.loose([install.machine], install.ordered_at))
            self._refold(install, event)

    # --- state ----------------------------------------------------------------------------------------------

    def _fold(self, entry: Entry) -> None:
        install = self._joiner.install(entry.install_id)
        if install is None or entry.event.TYPE not in RULED:
            return
        last = install.life.last
        if last is None or lifecycle.position(entry.event) > last:
            self._live(install, lifecycle.step(install.life, entry.event), entry.event)
        else:
            self._refold(install, entry.event)

    def _refold(self, install: Install, cause: Event) -> None:
        entries = self._joiner.of_install(install, RULED)
        self._live(install, lifecycle.fold(install.ordered_at, (entry.event for entry in entries)), cause)

    def _live(self, install: Install, after: Life, cause: Event) -> None:
        before, install.life = install.life, after
        self._folded[install.id] = install
        if before.state is not after.state:
            self._derive_change(install, before, cause)
        if install.token and not install.active:
            install.token = None
        if before.boots != after.boots:
            self._effects.machines.add(install.machine)
        if before.closed != after.closed:
            since = min(time for time in (before.closed, after.closed) if time)
            self._rejoin(self._joiner.loose([install.machine], since))

    def _rejoin(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            left = self._joiner.install(entry.install_id)
            if not self._joiner.join(entry):
                continue
            if entry.id not in self._new:
                self._changed[entry.id] = entry
            if left and left.id != entry.install_id and entry.event.TYPE in RULED:
                self._refold(left, entry.event)
            self._fold(entry)

    def _derive_change(self, install: Install, before: Life, cause: Event) -> None:
        after = install.life.state
        self._derive(
            StateChanged(
                id=derived_id(install.id, cause.id, str(before.state), str(after)),
                time=cause.time,
                mac=install.mac,
                machine=install.machine,
                install_id=install.id,
                ip=cause.ip,
                before=str(before.state),
                after=str(after),
                cause=cause.TYPE,
                cause_id=cause.id,
            )
        )
        if after is State.BOOTED and not isinstance(cause, MachineBooted):
            self._derive(
                MachineBooted(
                    id=derived_id(install.id, MachineBooted.TYPE),
                    time=install.life.reached[State.BOOTED],
                    mac=install.mac,
                    machine=install.machine,
                    install_id=install.id,
                    ip=cause.ip,
                )
            )

    def _derive(self, event: Event) -> None:
        entry = Entry(event, encode(event, site=self._site, service="inventory").decode())
        entry.mac, entry.machine, entry.install_id = event.mac, event.machine, event.install_id
        self._derived.setdefault(entry.id, entry)

    # --- to the database ------------------------------------------------------------------------------------

    def _store(self) -> None:
        known = history.sequences(self._session, self._derived)
        derived = {id: e for id, e in self._derived.items() if id not in known and id not in self._new}
        new = [*self._new.values(), *derived.values()]
        history.add(self._session, new)
        history.change(self._session, [entry for id, entry in self._changed.items() if id not in self._new])
        installs.save(self._session, self._folded.values(), added=self._opened)
        latest = [install for install in self._folded.values() if self._joiner.is_latest(install)]
        fleet.show_state(self._session, latest)
        self._effects.published += [entry.event for entry in new if entry.seq is None]
        self._effects.stored += [entry for entry in new if entry.seq is not None]
        self._effects.stored.sort(key=lambda entry: entry.seq or 0)
        self._effects.deadlines |= bool(self._folded)
        self._queue(new)

    def _queue(self, new: Collection[Entry]) -> None:
        hooks = [stored.resource for stored in fleet.resources(self._session, "webhooks").values()]
        news = [entry for entry in new if hooks and entry.event.time > self._now - NEWS]
        pairs = [(hook.name, entry.id) for entry in news for hook in hooks if hook.wants(entry.event.TYPE)]
        deliveries.queue(self._session, pairs, self._now)
        self._effects.deliveries |= bool(pairs)
