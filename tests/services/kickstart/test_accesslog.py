"""nginx's access log by syslog: what it says, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kickstart.accesslog import MAX_LINE, LogError, parse_line

FIELDS = {
    "remote_addr": "10.77.0.11",
    "request_method": "GET",
    "uri": "/images/rocky-9/vmlinuz",
    "status": "200",
    "body_bytes_sent": "1000",
    "request_time": "0.125",
    "request_completion": "OK",
    "sent_http_content_range": "",
}


def line(**changes: str) -> bytes:
    return b"<190>Nov 25 06:46:52 kickfleet: " + json.dumps(FIELDS | changes).encode()


def test_a_whole_file() -> None:
    served = parse_line(line())
    assert (str(served.remote_addr), served.path, served.status) == ("10.77.0.11", "rocky-9/vmlinuz", 200)
    assert (served.body_bytes_sent, served.request_time, served.request_completion) == (1000, 0.125, "OK")
    assert served.span is None


def test_a_part() -> None:
    assert parse_line(line(status="206", sent_http_content_range="bytes 5-9/100")).span == (5, 10)
    assert parse_line(line(status="206", sent_http_content_range="5-9")).span is None
    assert parse_line(line(status="200", sent_http_content_range="bytes 5-9/100")).span is None


def test_a_client_that_left() -> None:
    assert parse_line(line(request_completion="", status="000")).request_completion == ""


@pytest.mark.parametrize(
    ("datagram", "named"),
    [
        (b"", "tag"),
        (b"<190>Nov 25 06:46:52 other: {}", "tag"),
        (line(uri="/images/" + "x" * MAX_LINE), "at most"),
        (line(uri="/i/token/answers"), "uri"),
        (line(remote_addr="node01"), "remote_addr"),
        (line(body_bytes_sent="-1"), "body_bytes_sent"),
        (line(request_time="nan"), "request_time"),
        (line(request_completion="yes"), "request_completion"),
        (line()[:-1], "the line"),
        (line().replace(b"rocky", b"\xff"), "the line"),
    ],
)
def test_what_is_refused_by_name(datagram: bytes, named: str) -> None:
    with pytest.raises(LogError, match=named):
        parse_line(datagram)


@given(st.binary(max_size=200), st.booleans())
def test_nothing_else_is_raised(tail: bytes, headed: bool) -> None:
    with pytest.raises(LogError):
        parse_line((b"<190>x kickfleet: " if headed else b"") + tail)
