"""The JSON that the API answers, as types: they are the OpenAPI document's schemas as well."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.inventory.diagnosis import Diagnosis
from services.inventory.lifecycle import Step, deadline, walk
from services.inventory.repository.events import Entry
from services.inventory.repository.fleet import Stored
from services.inventory.repository.installs import Install
from services.inventory.resources.fleet import Machine
from services.inventory.sentences import sentence


class Page(BaseModel):
    """A part of a list. `next`: the cursor of the part behind it; null at the end."""

    items: list[dict[str, Any]]
    next: str | None = None


class InstallShape(BaseModel):
    """One install of one machine."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "9f1c2b7a44d04e1b",
                "machine": "node01",
                "mac": "52:54:00:00:00:01",
                "profile": "web",
                "image": "rocky-9",
                "state": "kernel",
                "milestone": "kernel",
                "active": True,
                "ordered_at": "2026-03-01T12:00:00Z",
                "ordered_by": "admin",
                "since": "2026-03-01T12:00:41Z",
                "deadline": "2026-03-01T12:10:41Z",
                "reached": {"ordered": "2026-03-01T12:00:00Z", "kernel": "2026-03-01T12:00:41Z"},
                "limits": {"installing": 2400},
            }
        }
    )

    id: str
    machine: str
    mac: str | None
    profile: str
    image: str
    state: str
    milestone: str
    active: bool
    ordered_at: datetime
    ordered_by: str
    since: datetime | None
    deadline: datetime | None
    reached: dict[str, datetime]
    reason: str = ""
    percent: float | None = None
    message: str = ""
    limits: dict[str, int] = {}


class InstallsShape(BaseModel):
    """The installs that an order began."""

    items: list[InstallShape]
    warnings: list[str] = []


class TimelineItem(BaseModel):
    """One event, the state after it, whether it changed it, and the seconds since the order."""

    event: dict[str, Any]
    state: str
    moved: bool
    seconds: float


class StateSpan(BaseModel):
    """How long one state lasted (null: it still does), and the type of the event that led to it."""

    state: str
    at: datetime
    seconds: float | None
    cause: str


class TimelineShape(BaseModel):
    """Every event of an install in order, and the states that they led through."""

    install: InstallShape
    items: list[TimelineItem]
    states: list[StateSpan]


class EvidenceShape(BaseModel):
    """An event that a diagnosis rests on."""

    time: datetime
    type: str
    text: str
    event_id: str


class DiagnosisShape(BaseModel):
    """Why a machine does not go on."""

    machine: str
    install: str | None
    state: str | None
    milestone: str | None
    since: datetime | None = None
    deadline: datetime | None = None
    overdue: bool = False
    code: str
    expected: str
    cause: str
    next_step: str
    evidence: list[EvidenceShape] = []


class AppliedShape(BaseModel):
    """What a declaration did, or would do: resources as `machines/node01`."""

    dry_run: bool
    created: list[str]
    changed: list[str]
    unchanged: list[str]
    removed: list[str]
    warnings: list[str]


class BatchShape(BaseModel):
    """What a batch of machines did, by name."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]


def install_shape(install: Install) -> InstallShape:
    """An install as the API shows it: without its token."""
    life = install.life
    return InstallShape(
        id=install.id,
        machine=install.machine,
        mac=install.mac,
        profile=install.profile,
        image=install.image,
        state=life.state,
        milestone=life.milestone,
        active=install.active,
        ordered_at=install.ordered_at,
        ordered_by=install.ordered_by,
        since=life.entered,
        deadline=deadline(life, install.limits),
        reached={str(state): time for state, time in life.reached.items()},
        reason=life.reason,
        percent=life.percent,
        message=life.message,
        limits=install.limits,
    )


def machine_shape(stored: Stored[Machine], install: Install | None) -> dict[str, Any]:
    """A machine as the API shows it: its declaration, and under `status` what became of it."""
    life = install.life if install else None
    status = {
        "state": stored.state,
        "milestone": str(life.milestone) if life else None,
        "install": stored.install_id,
        "since": as_json(life.entered) if life else None,
        "reason": life.reason if life else "",
        "percent": life.percent if life else None,
        "message": life.message if life else "",
        "created_at": as_json(stored.created_at),
        "changed_at": as_json(stored.changed_at),
    }
    return {**stored.resource.shown(), "status": status}


def timeline_shape(install: Install, entries: Sequence[Entry]) -> TimelineShape:
    """The timeline of an install: its events by their own time, each once."""
    ordered = sorted(entries, key=lambda entry: entry.order)
    steps = list(walk(install.ordered_at, (entry.event for entry in ordered)))
    items = [
        TimelineItem(
            event=entry.shown(),
            state=step.after.state,
            moved=step.before.state is not step.after.state,
            seconds=round((entry.event.time - install.ordered_at).total_seconds(), 6),
        )
        for entry, step in zip(ordered, steps, strict=True)
    ]
    return TimelineShape(install=install_shape(install), items=items, states=_spans(install, steps))


def _spans(install: Install, steps: Sequence[Step]) -> list[StateSpan]:
    moves = [
        (step.after.state, step.event.time, step.event.TYPE) for step in steps if step.before.state != step.after.state
    ]
    marks = [("ordered", install.ordered_at, "install.ordered"), *((str(s), at, cause) for s, at, cause in moves)]
    ends = [at for _, at, _ in marks[1:]]
    spans = []
    for index, (state, at, cause) in enumerate(marks):
        lasted = round((ends[index] - at).total_seconds(), 6) if index < len(ends) else None
        spans.append(StateSpan(state=state, at=at, seconds=lasted, cause=cause))
    return spans


def diagnosis_shape(machine: str, install: Install, found: Diagnosis) -> DiagnosisShape:
    """A diagnosis as the API shows it."""
    return DiagnosisShape(
        machine=machine,
        install=install.id,
        state=found.state,
        milestone=found.milestone,
        since=found.since,
        deadline=found.due,
        overdue=found.overdue,
        code=found.code,
        expected=found.expected,
        cause=found.cause,
        next_step=found.next_step,
        evidence=[EvidenceShape(time=e.time, type=e.TYPE, text=sentence(e), event_id=e.id) for e in found.evidence],
    )


def never_ordered(stored: Stored[Machine]) -> DiagnosisShape:
    """The diagnosis of a machine that nobody wants installed."""
    return DiagnosisShape(
        machine=stored.resource.name,
        install=None,
        state=None,
        milestone=None,
        code="never-ordered",
        expected="an operator orders an install",
        cause="No install of it was ever ordered: it boots its disk.",
        next_step=f"kickfleet install {stored.resource.name}",
    )


def as_json(time: datetime | None) -> str | None:
    """A time as JSON has it everywhere here."""
    return time.isoformat().replace("+00:00", "Z") if time else None
