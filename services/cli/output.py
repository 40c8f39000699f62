"""What verbs print: tables and coloured lines for people, JSON for programs (`--json`), errors on standard error."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNFOLDED = 4096  # columns
STATE_STYLES = {
    "ordered": "white",
    "offered": "cyan",
    "leased": "cyan",
    "bootloader": "cyan",
    "configured": "blue",
    "kernel": "blue",
    "initrd": "blue",
    "answers": "magenta",
    "installing": "magenta",
    "installed": "green",
    "booted": "bold green",
    "failed": "bold red",
    "stalled": "bold yellow",
    "cancelled": "dim",
}


def console(*, error: bool = False) -> Console:
    """The terminal as it is now. Nothing is folded for a pipe or a file, whose reader wants whole lines."""
    terminal = Console(stderr=error, highlight=False, soft_wrap=True)
    if not terminal.is_terminal and "COLUMNS" not in os.environ:
        terminal.width = UNFOLDED
    return terminal


def print_json(value: Any) -> None:
    """One JSON document, or one line of them, on standard output at once."""
    sys.stdout.write(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_json_line(value: Any) -> None:
    """One document of a stream of them."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table without a frame, as wide as it needs to be."""
    headed = any(columns)
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=headed)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return grid


def state_text(state: str | None) -> Text:
    """A state in its colour."""
    return Text(state or "–", style=STATE_STYLES.get(state or "", "dim"))


def moment(text: str | None) -> datetime | None:
    """A time as the API writes it."""
    return datetime.fromisoformat(text) if text else None


def ago(text: str | None, now: datetime | None = None) -> str:
    """How long ago something was, in its two largest units."""
    then = moment(text)
    return duration(((now or datetime.now(UTC)) - then).total_seconds()) if then else "–"


def duration(seconds: float) -> str:
    """A length of time as one says it: 40 ms, 4.2 s, 2 min 11 s, 3 h 5 min, 2 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.95 else f"{max(seconds, 0) * 1000:.0f} ms"
    whole = round(seconds)
    for size, unit, rest, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            part = whole % size // rest
            return f"{whole // size} {unit}" + (f" {part} {small}" if part else "")
    return f"{whole} s"


def size(count: float) -> str:
    """A number of octets: 512 B, 14.2 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """1 machine, 2 machines."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
