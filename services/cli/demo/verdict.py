"""Whether the demo went as it should: every machine installed, every timeline complete, in order, nothing twice."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.simulator.stages import Result, Stage
from services.cli.scene import MILESTONES

LOADERS = ("pxelinux.fetched", "grub.fetched", "ipxe.fetched", "shim.fetched")
# What a machine did, and the events of which one must tell it.
EVIDENCE: Mapping[Stage, tuple[str, ...]] = {
    Stage.OFFERED: ("lease.offered",),
    Stage.LEASED: ("lease.acknowledged",),
    Stage.BOOTLOADER: LOADERS,
    Stage.CONFIGURED: ("bootconfig.fetched",),
    Stage.KERNEL: ("kernel.fetched",),
    Stage.INITRD: ("initrd.fetched",),
    Stage.ANSWERS: ("answers.fetched",),
    Stage.STARTED: ("install.started",),
    Stage.INSTALLED: ("install.done",),
    Stage.BOOTED: ("lease.acknowledged", "machine.booted"),
}
ONCE = ("install.ordered", "install.started", "install.done", "machine.booted")
STATES = tuple(state for state in MILESTONES if state != "bootloader")  # an iPXE card loads no loader


@dataclass(frozen=True)
class Story:
    """One machine: what it did by itself, and what the inventory knows of it."""

    result: Result
    timeline: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The machine."""
        return self.result.name

    @property
    def states(self) -> list[str]:
        """The states that its install went through."""
        return [span["state"] for span in self.timeline["states"]]

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """Every event of its install, in the order of the timeline."""
        return [item["event"] for item in self.timeline["items"]]


def faults(stories: Sequence[Story]) -> list[str]:
    """Everything that is not as it should be, a sentence each."""
    return [f"{story.name}: {fault}" for story in stories for fault in _faults(story)]


def _faults(story: Story) -> Iterator[str]:
    if not story.result.ok:
        yield f"the machine {story.result.outcome}: {story.result.reason}"
    state = story.timeline["install"]["state"]
    if state not in ("installed", "booted"):
        yield f"its install is {state}"
    yield from _incomplete(story)
    yield from _out_of_order(story)
    yield from _twice(story)


def _incomplete(story: Story) -> Iterator[str]:
    types = {event["type"] for event in story.events}
    for stage in story.result.stages:
        if stage in EVIDENCE and not types.intersection(EVIDENCE[stage]):
            yield f"it reached {stage}, but its timeline has no {' or '.join(EVIDENCE[stage])}"
    missing = [state for state in STATES if state not in story.states]
    if missing:
        yield f"its install never was {', '.join(missing)}"


def _out_of_order(story: Story) -> Iterator[str]:
    times = [event["time"] for event in story.events]
    if times != sorted(times):
        yield "its timeline is not in the order of time"
    ranks = [MILESTONES.index(state) for state in story.states if state in MILESTONES]
    if ranks != sorted(ranks):
        yield f"its install went backwards: {' → '.join(story.states)}"


def _twice(story: Story) -> Iterator[str]:
    for what, values in (
        ("the event", [event["id"] for event in story.events]),
        ("the state", [state for state in story.states if state != "stalled"]),
        ("a single event", [event["type"] for event in story.events if event["type"] in ONCE]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                yield f"{what} {value} is there {count} times"


def stage_seconds(stories: Sequence[Story]) -> dict[str, list[float]]:
    """How long each state lasted on each machine, shortest first."""
    found: dict[str, list[float]] = {state: [] for state in MILESTONES}
    for story in stories:
        for span in story.timeline["states"]:
            if span["seconds"] is not None and span["state"] in found:
                found[span["state"]].append(span["seconds"])
    return {state: sorted(seconds) for state, seconds in found.items() if seconds}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of them (nearest rank)."""
    return ordered[max(math.ceil(len(ordered) * share), 1) - 1]
