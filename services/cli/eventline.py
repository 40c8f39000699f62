"""One event as one coloured line that reads like a sentence."""

import difflib
import fnmatch
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.text import Text

from libs.events import CATALOGUE
from services.cli.errors import WrongUse
from services.cli.output import STATE_STYLES, moment
from services.cli.phrases import sentence, who

NOUN_STYLES = {
    "lease": "cyan",
    "pool": "bold red",
    "rival": "bold red",
    "machine": "white",
    "transfer": "yellow",
    "bootconfig": "blue",
    "kernel": "blue",
    "initrd": "blue",
    "answers": "magenta",
    "install": "green",
    "state": "bold",
    "rollout": "bold",
}
TYPE_STYLES = {
    "install.failed": "bold red",
    "install.stalled": "bold yellow",
    "answers.failed": "bold red",
    "lease.refused": "yellow",
    "lease.declined": "yellow",
    "machine.unknown": "yellow",
}
NAME_WIDTH, TYPE_WIDTH = 10, 18
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def event_line(event: Mapping[str, Any]) -> Text:
    """When, who, what kind, and what happened. Times are the reader's own."""
    kind, data = str(event["type"]), event["data"]
    time = moment(event.get("time"))
    clock = f"{time.astimezone():%H:%M:%S.%f}"[:-3] if time else ""
    style = STATE_STYLES.get(str(data.get("after")), "") if kind == "state.changed" else _style(kind)
    return Text.assemble(
        (clock, "dim"),
        "  ",
        (f"{who(data):<{NAME_WIDTH}}", "bold"),
        "  ",
        (f"{kind:<{TYPE_WIDTH}}", f"{style} dim".strip()),
        "  ",
        (sentence(kind, data), style),
    )


def _style(kind: str) -> str:
    noun, _, verb = kind.partition(".")
    return TYPE_STYLES.get(kind) or NOUN_STYLES.get(noun) or ("blue" if verb == "fetched" else "")


def event_types(glob: str | None) -> str | None:
    """The types of the catalogue that a glob means, as the API takes them. Raises WrongUse."""
    if glob is None:
        return None
    found = [name for part in glob.split(",") for name in fnmatch.filter(CATALOGUE, part.strip())]
    if not found:
        near = difflib.get_close_matches(glob, CATALOGUE, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CATALOGUE)}"
        raise WrongUse(f"no type of event is called {glob!r}; {hint}")
    return ",".join(_shortened(found))


def _shortened(names: list[str]) -> list[str]:
    """`install.*` for all types of a noun, so that a query stays short."""
    nouns = {name.partition(".")[0] for name in names}
    whole = {noun for noun in nouns if all(name in names for name in CATALOGUE if name.startswith(f"{noun}."))}
    return [f"{noun}.*" for noun in sorted(whole)] + [name for name in names if name.partition(".")[0] not in whole]


def since(text: str | None, now: datetime | None = None) -> str | None:
    """A time, or `10m` ago, as a time. Raises WrongUse."""
    if text is None:
        return None
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text):
        then = (now or datetime.now(UTC)) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        return then.isoformat()
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUse(f"{text!r} is no time; write 10m, 2h or 2026-01-31T12:00") from None
    return then.astimezone(UTC).isoformat()
