"""The results as lines while they come, and as a table of medians."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tests.bench.dhcp.measure import Result

_COLUMNS: tuple[tuple[str, Callable[[Result], float | None], str], ...] = (
    ("new /s", lambda r: r.new.outcome.rate, ".0f"),
    ("returning /s", lambda r: r.returning.outcome.rate, ".0f"),
    ("dropped %", lambda r: 100 * max(r.new.outcome.dropped, r.returning.outcome.dropped), ".2f"),
    ("CPU s per 1000 new", lambda r: r.new.own, ".3f"),
    ("returning", lambda r: r.returning.own, ".3f"),
    ("bus, new", lambda r: r.new.helpers, ".3f"),
    ("half rate: p50 ms", lambda r: r.half.p50_ms, ".2f"),
    ("p99 ms", lambda r: r.half.p99_ms, ".2f"),
    ("storm: resends", lambda r: r.storm.resends, ".0f"),
    ("storm: p99 ms", lambda r: r.storm.p99_ms, ".0f"),
    ("perfdhcp /s", lambda r: r.perfdhcp, ".0f"),
    ("MiB at 50,000", lambda r: r.memory_mib, ".0f"),
)


def line(name: str, result: Result) -> str:
    """One round of one server."""
    return f"{name:<10} " + "  ".join(f"{title} {_cell(read(result), form)}" for title, read, form in _COLUMNS)


def table(results: Mapping[str, Sequence[Result]]) -> str:
    """Medians of all rounds; the storm's resends are the most of any round."""
    head = ["server", *(title for title, _, _ in _COLUMNS)]
    rows = [[name, *(_of(rounds, *column) for column in _COLUMNS)] for name, rounds in results.items()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


def _of(rounds: Sequence[Result], title: str, read: Callable[[Result], float | None], form: str) -> str:
    values = [value for value in map(read, rounds) if value is not None]
    together = max if title == "storm: resends" else median
    return _cell(together(values) if values else None, form)


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
