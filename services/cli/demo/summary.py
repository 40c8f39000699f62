"""What the demo says at its end."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from services.cli.demo.verdict import Story, percentile, stage_seconds
from services.cli.output import duration, plural, size, state_text, table

SHARES = {"half of them within": 0.5, "95 % within": 0.95, "all within": 1.0}
SHOWN_FAULTS = 20


def document(
    stories: Sequence[Story], faults: Sequence[str], seconds: float, restarts: Sequence[str]
) -> dict[str, Any]:
    """The same for programs. Times are seconds; `restarts` names what died and was started again."""
    lasted = stage_seconds(stories)
    return {
        "kind": "result",
        "ok": not faults,
        "machines": len(stories),
        "installed": installed(stories),
        "seconds": round(seconds, 3),
        "events": sum(len(story.events) for story in stories),
        "bytes": sum(story.result.bytes for story in stories),
        "states": {
            state: {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95), "max": times[-1]}
            for state, times in lasted.items()
        },
        "restarts": list(restarts),
        "faults": list(faults),
    }


def installed(stories: Sequence[Story]) -> int:
    """How many machines are what they should be."""
    return sum(story.timeline["install"]["state"] in ("installed", "booted") for story in stories)


def text(stories: Sequence[Story], faults: Sequence[str], seconds: float) -> RenderableType:
    """For people: how long each state lasted, and what is wrong."""
    rows: list[list[str | Text]] = [
        [state_text(state), *(duration(percentile(times, share)) for share in SHARES.values())]
        for state, times in stage_seconds(stories).items()
    ]
    events = sum(len(story.events) for story in stories)
    received = size(sum(story.result.bytes for story in stories))
    head = f"{installed(stories)} of {plural(len(stories), 'machine')} installed in {duration(seconds)}"
    facts = f"{events} events in their timelines, {received} of files received"
    parts: list[RenderableType] = [table(("state", *SHARES), rows), Text(), Text(head, style="bold"), Text(facts)]
    if not faults:
        parts.append(Text("every timeline is complete, in order, and nothing is in it twice", style="green"))
    parts += [Text(fault, style="red") for fault in faults[:SHOWN_FAULTS]]
    if len(faults) > SHOWN_FAULTS:
        parts.append(Text(f"and {len(faults) - SHOWN_FAULTS} more", style="red"))
    return Group(*parts)
