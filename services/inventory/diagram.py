"""Draws the state table into ARCHITECTURE.md: `python -m services.inventory.diagram`.

The diagram stands between two markers and is made from the table alone; a test says when it is stale.
"""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from services.inventory.lifecycle import MILESTONES, RULES, STATES, UNDERWAY, State

BEGIN = "<!-- lifecycle:begin (python -m services.inventory.diagram) -->"
END = "<!-- lifecycle:end -->"
DOCUMENT = Path(__file__).parents[2] / "ARCHITECTURE.md"


def block() -> str:
    """The Mermaid diagram and the table of states, as Markdown."""
    return "\n".join([BEGIN, "```mermaid", *_diagram(), "```", "", *_states(), END])


def replaced(document: str) -> str:
    """The document with the block put between its markers. Raises ValueError where they are not both there."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {BEGIN!r} and {END!r}")
    return before + block() + after


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> underway: install.ordered"
    yield "    state underway {"
    yield f"        [*] --> {State.ORDERED}"
    for before, after in pairwise(MILESTONES):
        if after in UNDERWAY:
            yield f"        {before} --> {after}: {_causes(after)}"
    yield "    }"
    yield f"    underway --> {State.STALLED}: {_causes(State.STALLED)}"
    yield f"    {State.STALLED} --> underway: the next milestone, install.progress"
    for end in (State.INSTALLED, State.FAILED, State.CANCELLED):
        yield f"    underway --> {end}: {_causes(end)}"
    yield f"    {State.FAILED} --> {State.INSTALLED}: {_causes(State.INSTALLED)}"
    yield f"    {State.INSTALLED} --> {State.BOOTED}: {_causes(State.BOOTED)}"
    for end in (State.BOOTED, State.FAILED, State.CANCELLED):
        yield f"    {end} --> [*]"


def _causes(to: State) -> str:
    found = [
        f"{rule.event}{f' ({rule.field} {_or(rule.values)})' if rule.field else ''}" for rule in RULES if rule.to is to
    ]
    return ", ".join(found)


def _or(values: frozenset[str]) -> str:
    return "|".join(sorted(values))


def _states() -> Iterator[str]:
    yield "| state | what it means | from the network it boots | may last | what comes next |"
    yield "|---|---|---|---|---|"
    for info in STATES:
        limit = f"{info.limit // 60} min" if info.limit else "–"
        yield f"| `{info.state}` | {info.sentence} | {info.boots} | {limit} | {info.expects or '–'} |"


def main() -> int:
    """Write the block into ARCHITECTURE.md."""
    try:
        DOCUMENT.write_text(replaced(DOCUMENT.read_text("utf-8")), "utf-8")
    except (OSError, ValueError) as error:
        print(f"{DOCUMENT.name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
