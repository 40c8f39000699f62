import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.simulator.errors import ConfigurationError
from libs.simulator.texts.ipxe import MAX_TEXT, Line, expand, parse

SETTINGS = {"mac": "52:54:00:00:00:01", "next-server": "10.77.0.1", "a": "mac", "net0/ip": "10.77.0.11"}


def test_lines_labels_commands_and_comments() -> None:
    script = (
        b"#!ipxe\r\n:again echo hi\nkernel http://h/k a=b || goto again # why\n"
        b"iseq a b && goto c ||\ndhcp ; boot\\\n  now\n"
    )
    assert parse(script)[1:-1] == [
        Line("again", (("", ("echo", "hi")),)),
        Line(None, (("", ("kernel", "http://h/k", "a=b")), ("||", ("goto", "again")))),
        Line(None, (("", ("iseq", "a", "b")), ("&&", ("goto", "c")), ("||", ()))),
        Line(None, (("", ("dhcp",)), ("", ("boot", "now")))),
    ]


@pytest.mark.parametrize("text", [b"", b"#!ipxe", b"#!ipxe2\n", b"echo hi\n", b"<html>"])
def test_what_is_no_script(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="Exec format error"):
        parse(text)


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("http://${next-server}/${mac:hexhyp}", "http://10.77.0.1/52-54-00-00-00-01"),
        ("${net0/mac}", "52:54:00:00:00:01"),
        ("${net0/ip}", "10.77.0.11"),
        ("${${a}:hexraw}", "525400000001"),
        ("${nothing}x", "x"),
        ("${open", "${open"),
    ],
)
def test_settings_are_filled_in(word: str, expanded: str) -> None:
    assert expand(word, SETTINGS) == expanded


def test_settings_that_grow_have_an_end() -> None:
    assert len(expand("${b}" * 100, {"b": "${b}${b}" * 1000})) <= MAX_TEXT


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=100), st.text("#!ipxe\n ${}:|&;agoto", max_size=60).map(str.encode)))
def test_garbage_raises_its_own_error_or_none(text: bytes) -> None:
    try:
        for line in parse(b"#!ipxe\n" + text):
            for _, words in line.commands:
                for word in words:
                    expand(word, SETTINGS)
    except ConfigurationError:
        pass
