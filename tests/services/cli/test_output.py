"""Numbers as people say them."""

from datetime import UTC, datetime

import pytest

from services.cli.output import ago, duration, plural, size, state_text, table


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-1, "0 ms"),
        (0.04, "40 ms"),
        (0.96, "1.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (131, "2 min 11 s"),
        (3600, "1 h"),
        (11_130, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 40, "3072.0 GiB")],
)
def test_sizes(count: int, expected: str) -> None:
    assert size(count) == expected


def test_plurals_moments_and_states() -> None:
    assert [plural(0, "machine"), plural(1, "machine"), plural(2, "machine")] == [
        "0 machines",
        "1 machine",
        "2 machines",
    ]
    assert ago("2026-01-31T11:59:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)) == "1 min"
    assert ago(None) == "–"
    assert state_text(None).plain == "–"
    assert str(state_text("failed").style) == "bold red"


def test_a_table_without_headings_has_no_empty_line_for_them() -> None:
    assert not table(("", ""), [("a", "b")]).show_header
    assert table(("name",), []).show_header
