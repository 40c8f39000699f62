"""What installers say in callbacks, whichever client they have."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.kickstart.reports import MAX_PHASE, MAX_TEXT, Report, ReportError, parse_report

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "kind", "query", "report"),
    [
        (b"", "", {}, Report()),
        (b"it went wrong", "text/plain", {}, Report(message="it went wrong")),
        (b"it went wrong: a=b&c", FORM, {}, Report(message="it went wrong: a=b&c")),
        (b"phase=disk&percent=12.5&message=a+b", FORM, {}, Report("disk", 12.5, "a b")),
        (b"reason=no+disk", FORM + "; charset=utf-8", {}, Report(message="no disk")),
        (b'{"phase": "disk", "percent": 3}', "application/json", {}, Report("disk", 3.0)),
        (b"", "application/json", {"phase": "x"}, Report("x")),
        (b"213/420", "text/plain", {"phase": "packages", "percent": "50"}, Report("packages", 50.0, "213/420")),
        (b"a\x1b[31mred\x00\nb\r\n", "text/plain", {}, Report(message="a[31mred\nb")),
        ("naïve ü 日本".encode(), "text/plain", {}, Report(message="naïve ü 日本")),
    ],
)
def test_a_report_is_read(body: bytes, kind: str, query: dict[str, str], report: Report) -> None:
    assert parse_report(body, kind, query) == report


@pytest.mark.parametrize("percent", ["-1", "101", "nan", "inf", "many", "1e400"])
def test_a_wrong_percentage_is_named(percent: str) -> None:
    with pytest.raises(ReportError, match="percent"):
        parse_report(b"", "", {"percent": percent})


def test_of_a_long_text_the_end_is_kept() -> None:
    report = parse_report(b"x" * 20_000 + b"the cause", "text/plain", {"phase": "p" * 200})
    assert len(report.message) == MAX_TEXT
    assert report.message.endswith("the cause")
    assert len(report.phase) == MAX_PHASE


@given(st.binary(max_size=300), st.sampled_from(["", FORM, "application/json", "text/plain"]))
@example(b'{"phase": {"a": 1}, "message": [1], "percent": [2]}', "application/json")
@example(b"phase=%ff%00&percent=", FORM)
@example(b"\xed\xa0\x80", "text/plain")
def test_any_body_is_read_or_refused(body: bytes, kind: str) -> None:
    try:
        report = parse_report(body, kind, {})
    except ReportError:
        return
    assert all(char in "\n\t" or char >= " " for char in report.phase + report.message)
    (report.phase + report.message).encode()
