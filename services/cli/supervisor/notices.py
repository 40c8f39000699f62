"""What the supervisor says: one line an occurrence, for people or as JSON."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

Kind = Literal["listening", "ready", "waiting", "restarting", "stopping", "refused", "up"]
MARKS: dict[Kind, tuple[str, str]] = {
    "listening": ("·", "dim"),
    "ready": ("✓", "green"),
    "waiting": ("…", "yellow"),
    "restarting": ("↻", "yellow"),
    "stopping": ("·", "dim"),
    "refused": ("✗", "bold red"),
    "up": ("✓", "bold green"),
}


@dataclass(frozen=True)
class Notice:
    """Something happened to a program (or, with the name `kickfleet`, to all)."""

    kind: Kind
    name: str
    message: str
    address: str | None = None


Say = Callable[[Notice], None]


def as_lines(notice: Notice) -> None:
    """For people."""
    mark, style = MARKS[notice.kind]
    line = Text.assemble((mark, style), " ", (f"{notice.name:<10}", "bold"), " ", notice.message)
    Console(highlight=False, soft_wrap=True).print(line)


def as_json(notice: Notice) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(asdict(notice)) + "\n")
    sys.stdout.flush()
