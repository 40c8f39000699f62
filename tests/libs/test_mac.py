"""The one spelling of the one key."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.mac import MacError, dashed, mac_of, parse_mac

SPELLINGS = ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "5254.00ab.cd01", "525400abcd01", " 52 54 00 ab cd 01 "]


@pytest.mark.parametrize("text", SPELLINGS)
def test_any_usual_spelling_is_read(text: str) -> None:
    assert parse_mac(text) == "52:54:00:ab:cd:01"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("52:54:00:ab:cd", "write it like"),
        ("52:54:00:ab:cd:0g", "write it like"),
        ("52-54:00-ab:cd-01", "write it like"),
        ("52:54:00:ab:cd:01:02", "write it like"),
        ("00:00:00:00:00:00", "belongs to no machine"),
        ("ff:ff:ff:ff:ff:ff", "group address"),
        ("01:00:5e:00:00:01", "group address"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, remedy: str) -> None:
    with pytest.raises(MacError, match=remedy):
        parse_mac(text)


@given(st.binary(min_size=6, max_size=6).filter(lambda octets: any(octets) and not octets[0] & 1))
def test_every_address_survives_every_spelling(octets: bytes) -> None:
    mac = mac_of(octets)
    assert parse_mac(mac) == parse_mac(dashed(mac)) == parse_mac(mac.upper()) == parse_mac(octets.hex()) == mac


@given(st.text())
def test_no_text_does_anything_but_read_or_refuse(text: str) -> None:
    with suppress(MacError):
        assert parse_mac(parse_mac(text)) == parse_mac(text)
