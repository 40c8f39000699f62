"""What is known of machines that are being installed, from the stream of events alone."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.cli.phrases import sentence, who

MILESTONES = (
    *("ordered", "offered", "leased", "bootloader", "configured", "kernel", "initrd", "answers"),
    *("installing", "installed", "booted"),
)
QUIET = ("machine.registered", "state.changed", "lease.offered", "file.fetched")  # seen in the machines' states
LATEST = 8


@dataclass
class Scene:
    """The state of every machine, and the latest lines."""

    machines: Sequence[str]
    states: dict[str, str] = field(default_factory=dict)
    latest: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=LATEST))
    events: int = 0
    restarts: list[str] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> None:
        """One event of the stream."""
        data, kind = event["data"], str(event["type"])
        self.events += 1
        if kind == "install.ordered":
            self.states[data["machine"]] = "ordered"
        elif kind == "state.changed":
            self.states[data["machine"]] = data["after"]
        if kind not in QUIET:
            self.latest.append((who(data), sentence(kind, data)))

    def notice(self, notice: Mapping[str, Any]) -> None:
        """Something that the supervisor says: only what goes wrong is worth a line."""
        if notice["kind"] == "restarting":
            self.restarts.append(notice["name"])
        if notice["kind"] in ("restarting", "waiting"):
            self.latest.append((notice["name"], notice["message"]))

    @property
    def counts(self) -> Counter[str]:
        """How many machines are in each state."""
        return Counter(self.states.get(name, "declared") for name in self.machines)

    @property
    def progress(self) -> float:
        """How much of the way all machines together have gone, from 0 to 1."""
        steps = sum(_steps(self.states.get(name, "")) for name in self.machines)
        return steps / (len(self.machines) * (len(MILESTONES) - 1) or 1)


def _steps(state: str) -> int:
    return MILESTONES.index(state) if state in MILESTONES else 0
