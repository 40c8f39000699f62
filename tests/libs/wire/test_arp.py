"""ARP packets against octets as they are on the wire."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire import WireError
from libs.wire.arp import Sighting, probe, read_sighting

MINE = bytes.fromhex("525400000001")
REPLY = bytes.fromhex("0001 0800 06 04 0002 525400000099 0a4d0064 525400000001 0a4d0002")


def test_a_probe_claims_no_address() -> None:
    """RFC 5227 section 2.1.1: sender address zero, target hardware address zero."""
    asked = probe(IPv4Address("10.77.0.100"), MINE)
    assert asked == bytes.fromhex("0001 0800 06 04 0001 525400000001 00000000 000000000000 0a4d0064")
    assert read_sighting(asked) is None


def test_an_answer_says_who_has_the_address() -> None:
    """RFC 826; padding to the smallest Ethernet frame does not matter."""
    expected = Sighting(IPv4Address("10.77.0.100"), bytes.fromhex("525400000099"))
    assert read_sighting(REPLY) == read_sighting(REPLY + bytes(18)) == expected


def test_another_hosts_question_says_the_same() -> None:
    assert read_sighting(REPLY[:7] + b"\x01" + REPLY[8:]) == read_sighting(REPLY)


@pytest.mark.parametrize("start", ["0006 0800 06 04", "0001 86dd 06 04", "0001 0800 08 04", "0001 0800 06 10"])
def test_other_protocols_say_nothing(start: str) -> None:
    head = bytes.fromhex(start)
    assert read_sighting(head + REPLY[len(head) :]) is None


@given(st.binary(max_size=64))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    try:
        read_sighting(data)
    except WireError:
        assert len(data) < 28
