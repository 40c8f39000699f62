"""Server-sent events from lines, as the HTML standard has them."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.sse import LONGEST_EVENT, Parser, ServerEvent


def _read(lines: Iterable[str]) -> tuple[list[ServerEvent], Parser]:
    parser = Parser()
    return [event for line in lines if (event := parser.feed(line))], parser


def test_an_event_ends_at_a_blank_line() -> None:
    events, _ = _read(["id: 7", "event: x", "data: one", "data: two", "", "data: three", ""])
    assert events == [ServerEvent("7", "x", "one\ntwo"), ServerEvent("7", "message", "three")]


def test_comments_unknown_fields_and_empty_events_are_passed_over() -> None:
    events, parser = _read(
        [": still here", "", "colour: blue", "event: x", "", "retry: 1500", "retry: soon", "data", ""]
    )
    assert events == [ServerEvent("", "message", "")]
    assert parser.retry == 1500


def test_what_the_connection_cut_off_is_no_event() -> None:
    events, _ = _read(["id: 1", "data: whole", "", "id: 2", "data: ha"])
    assert [event.id for event in events] == ["1"]


def test_only_one_space_after_the_colon_belongs_to_the_syntax() -> None:
    assert _read(["data:  x", "data:y", ""])[0][0].data == " x\ny"


def test_an_id_with_a_zero_octet_is_ignored() -> None:
    assert _read(["id: 5", "id: 6\0", "data: x", ""])[0][0].id == "5"


def test_an_event_without_end_is_refused() -> None:
    quarter = "data: " + "x" * (LONGEST_EVENT // 4)
    with pytest.raises(ValueError, match="longer than"):
        _read([quarter] * 5)


@given(st.lists(st.text(st.characters(blacklist_characters="\r\n")), max_size=40))
def test_any_lines_are_read_without_a_fault(lines: list[str]) -> None:
    events, _ = _read(lines)
    assert len(events) <= lines.count("")
