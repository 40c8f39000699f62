"""The life of an install: THE state table. Pure: events come in, a `Life` goes out; no clock, bus or database.

Theory of operation
-------------------
An install passes *milestones*, from `ordered` to `booted`; its state is the last milestone passed. Every milestone
is proved by one kind of event (RULES), and every rule says in a sentence what the event proves. Three things hold:

* Milestones only go forward. Clients leave some out, firmware repeats others, services publish independently of
  each other: an event that proves a milestone already passed changes nothing. It stays in the timeline.
* The order that counts is the events' own time, never their arrival. `fold` sorts; `step` may be used alone where
  an event is later than all before it (`Life.last`). Any order of arrival, any repetition: the same life.
* `failed` and `cancelled` end an install from any milestone before `installed`. The installer's own later "done" is
  worth more than its earlier failure; a withdrawal is final; and neither undoes a system that is on its disk.

`stalled` is no place of its own but lies over the milestone that the machine did not leave in time. Rules look
through it, so the next milestone (or a sign of work from the installer) ends it without anybody's help.

STATES says of each state what a machine in it boots from the network, how long it may last, and what comes next.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from libs.events import Event, InstallProgress, InstallStalled


class State(StrEnum):
    """Where an install stands."""

    ORDERED = "ordered"
    OFFERED = "offered"
    LEASED = "leased"
    BOOTLOADER = "bootloader"
    CONFIGURED = "configured"
    KERNEL = "kernel"
    INITRD = "initrd"
    ANSWERS = "answers"
    INSTALLING = "installing"
    INSTALLED = "installed"
    BOOTED = "booted"
    FAILED = "failed"
    STALLED = "stalled"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class StateInfo:
    """`boots`: what the machine gets from the network meanwhile; `limit`: seconds it may last by default."""

    state: State
    sentence: str
    boots: Literal["install", "disk"]
    limit: int | None = None
    expects: str = ""


MINUTE, HOUR = 60, 3600

STATES = (
    StateInfo(State.ORDERED, "An operator wants it installed.", "install", HOUR, "its firmware asks for an address"),
    StateInfo(State.OFFERED, "An address was offered.", "install", 2 * MINUTE, "it accepts the offer"),
    StateInfo(State.LEASED, "Its firmware has an address.", "install", 3 * MINUTE, "it fetches the boot loader"),
    StateInfo(
        State.BOOTLOADER, "It has a boot loader.", "install", 3 * MINUTE, "the loader asks for its configuration"
    ),
    StateInfo(State.CONFIGURED, "The loader runs.", "install", 5 * MINUTE, "the loader fetches the kernel"),
    StateInfo(State.KERNEL, "It has the kernel.", "install", 10 * MINUTE, "the loader fetches the initial ram disk"),
    StateInfo(
        State.INITRD, "The installer is about to start.", "install", 10 * MINUTE, "the installer fetches its answers"
    ),
    StateInfo(State.ANSWERS, "The installer is up.", "install", 15 * MINUTE, "the installer reports that it began"),
    StateInfo(State.INSTALLING, "The installer works.", "install", HOUR, "the installer reports that it is done"),
    StateInfo(State.INSTALLED, "The system is on the disk.", "disk", None, "the machine comes up from its disk"),
    StateInfo(State.BOOTED, "The system came up from the disk.", "disk"),
    StateInfo(State.FAILED, "The installer gave up; the disk is booted so that it does not fail in a loop.", "disk"),
    StateInfo(State.STALLED, "The next milestone is overdue; the machine may still go on.", "install"),
    StateInfo(State.CANCELLED, "An operator withdrew the install; the machine boots its disk.", "disk"),
)
INFO: Mapping[State, StateInfo] = {info.state: info for info in STATES}
MILESTONES = tuple(State)[: tuple(State).index(State.BOOTED) + 1]
RANK: Mapping[State, int] = {state: rank for rank, state in enumerate(MILESTONES)}

UNDERWAY = frozenset(MILESTONES[: RANK[State.INSTALLED]])
ACTIVE = UNDERWAY | {State.STALLED}  # an install in one of these keeps its machine from another order
ENDED = frozenset(State) - ACTIVE
FIRMWARE = frozenset({"pxe", "ipxe", "http"})


@dataclass(frozen=True)
class Rule:
    """In one of the places `frm`, `event` (where `field` is one of `values`) leads to `to`."""

    event: str
    to: State
    sentence: str
    frm: frozenset[State] = UNDERWAY
    field: str = ""
    values: frozenset[str] = frozenset()
    rouses: bool = False  # also ends a stall in the state `to` itself

    def fits(self, place: State, event: Event) -> bool:
        """Whether this rule speaks of this event in this place."""
        return place in self.frm and (not self.field or getattr(event, self.field, None) in self.values)


RULES = (
    Rule(
        "lease.offered",
        State.OFFERED,
        "The firmware looks for an address and one was offered.",
        field="client",
        values=FIRMWARE,
    ),
    Rule("lease.acknowledged", State.LEASED, "The firmware took the address.", field="client", values=FIRMWARE),
    Rule("pxelinux.fetched", State.BOOTLOADER, "The firmware has PXELINUX to its last byte."),
    Rule("grub.fetched", State.BOOTLOADER, "The firmware (or shim) has GRUB to its last byte."),
    Rule("ipxe.fetched", State.BOOTLOADER, "The firmware has iPXE to its last byte."),
    Rule("shim.fetched", State.BOOTLOADER, "The firmware has shim to its last byte."),
    Rule(
        "bootconfig.fetched",
        State.CONFIGURED,
        "The loader runs and was told to install; a configuration that boots the disk proves nothing.",
        field="boots",
        values=frozenset({"install"}),
    ),
    Rule("kernel.fetched", State.KERNEL, "The loader has the kernel."),
    Rule("initrd.fetched", State.INITRD, "The loader has an initial ram disk."),
    Rule("answers.fetched", State.ANSWERS, "The installer's environment runs and its network works."),
    Rule("install.started", State.INSTALLING, "The installer began."),
    Rule("install.progress", State.INSTALLING, "The installer works: a stall of it is over.", rouses=True),
    Rule(
        "install.done",
        State.INSTALLED,
        "The installer says the system is on the disk; it knows better than its own earlier failure.",
        frm=UNDERWAY | {State.FAILED},
    ),
    Rule(
        "lease.acknowledged",
        State.BOOTED,
        "Something that is no firmware asks for an address after the installer ended: the disk booted.",
        frm=frozenset({State.INSTALLED}),
        field="client",
        values=frozenset({"other"}),
    ),
    Rule("machine.booted", State.BOOTED, "The machine came up from its disk.", frm=frozenset({State.INSTALLED})),
    Rule("install.failed", State.FAILED, "The installer gave up; after `installed` it is too late for that."),
    Rule("install.cancelled", State.CANCELLED, "An operator withdrew the install. Final."),
    Rule(
        "install.stalled",
        State.STALLED,
        "The deadline of the state it names passed; nothing if the machine was further on by then.",
        frm=UNDERWAY | {State.INSTALLED},
    ),
)
RULED = frozenset(rule.event for rule in RULES)


@dataclass(frozen=True)
class Life:
    """What the events so far make of an install. `milestone` is the last one passed, `state` what is shown."""

    milestone: State = State.ORDERED
    ended: State | None = None  # failed | cancelled
    stalled: bool = False
    entered: datetime | None = None  # since when it is in `state`
    last: tuple[datetime, str] | None = None  # time and id of the latest event that was folded
    reached: Mapping[State, datetime] = field(default_factory=dict)
    closed: datetime | None = None  # nothing later belongs to this install unless it says so itself
    reason: str = ""
    percent: float | None = None
    message: str = ""

    @property
    def place(self) -> State:
        """Where it stands when one looks through a stall."""
        return self.ended or self.milestone

    @property
    def state(self) -> State:
        """The state of the contract."""
        return State.STALLED if self.stalled else self.place

    @property
    def boots(self) -> Literal["install", "disk"]:
        """What the machine gets when it boots from the network now."""
        return INFO[self.place].boots


def begin(ordered_at: datetime) -> Life:
    """A life that begins with its order."""
    return Life(entered=ordered_at, reached={State.ORDERED: ordered_at})


def position(event: Event) -> tuple[datetime, str]:
    """The place of an event among those of an install: by its own time; the id only decides between equals."""
    return event.time, event.id


def step(life: Life, event: Event) -> Life:
    """The life after one more event, which must be later (`position`) than all before it."""
    if event.TYPE not in RULED:
        return life
    life = replace(life, last=position(event))
    if isinstance(event, InstallProgress) and life.place in UNDERWAY:
        life = replace(life, percent=event.percent, message=event.message or event.phase)
    rule = next((rule for rule in RULES if rule.event == event.TYPE and rule.fits(life.place, event)), None)
    return _obey(life, rule, event) if rule else life


def _obey(life: Life, rule: Rule, event: Event) -> Life:
    if rule.to in RANK:
        return _advance(life, rule, event)
    if isinstance(event, InstallStalled):
        overdue = event.state == life.milestone and not life.stalled
        return replace(life, stalled=True, entered=event.time, reason=event.reason) if overdue else life
    closed = event.time if rule.to is State.CANCELLED else None
    reason = str(getattr(event, "reason", ""))
    reached = {**life.reached, rule.to: event.time}
    return replace(
        life, ended=rule.to, stalled=False, entered=event.time, reason=reason, closed=closed, reached=reached
    )


def _advance(life: Life, rule: Rule, event: Event) -> Life:
    if rule.rouses and life.stalled and rule.to == life.milestone:
        return replace(life, stalled=False, entered=event.time, reason="")
    if RANK[rule.to] <= RANK[life.milestone]:
        return life
    reached = {**life.reached, rule.to: event.time}
    closed = event.time if rule.to is State.BOOTED else None
    return replace(
        life,
        milestone=rule.to,
        ended=None,
        stalled=False,
        entered=event.time,
        reason="",
        closed=closed,
        reached=reached,
    )


@dataclass(frozen=True)
class Step:
    """One event of a timeline with the life before and after it."""

    event: Event
    before: Life
    after: Life


def walk(ordered_at: datetime, events: Iterable[Event]) -> Iterator[Step]:
    """Every event in the order given, each with what it changed."""
    life = begin(ordered_at)
    for event in events:
        after = step(life, event)
        yield Step(event, life, after)
        life = after


def fold(ordered_at: datetime, events: Iterable[Event]) -> Life:
    """The life that a set of events makes, whatever order and however often they came."""
    life = begin(ordered_at)
    for event in sorted({event.id: event for event in events}.values(), key=position):
        life = step(life, event)
    return life


def limit(milestone: State, limits: Mapping[str, int]) -> int | None:
    """Seconds that a milestone's state may last: the install's own limit or the default; None: for ever."""
    return limits.get(milestone, INFO[milestone].limit)


def deadline(life: Life, limits: Mapping[str, int]) -> datetime | None:
    """When the state becomes overdue; None where nothing is awaited or the stall is known already."""
    seconds = limit(life.milestone, limits)
    if life.ended or life.stalled or life.milestone is State.BOOTED or seconds is None or life.entered is None:
        return None
    return life.entered + timedelta(seconds=seconds)
