"""The packet for a client without an address is one that any IP stack accepts."""

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire import FieldOverflowError
from libs.wire.ip import Endpoint, checksum, udp_packet

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
ends = st.builds(Endpoint, addresses, st.integers(0, 65535))


def test_the_checksum_of_a_known_header() -> None:
    """The worked example of many a textbook: 4500 0073 0000 4000 4011 .... c0a8 0001 c0a8 00c7."""
    assert checksum(bytes.fromhex("450000730000400040110000c0a80001c0a800c7")) == 0xB861


@given(st.binary(max_size=301), ends, ends)
def test_both_checksums_hold_and_the_lengths_are_right(payload: bytes, source: Endpoint, destination: Endpoint) -> None:
    packet = udp_packet(payload, source, destination)
    header, datagram = packet[:20], packet[20:]
    assert checksum(header) == 0
    assert struct.unpack("!H", header[2:4])[0] == len(packet)
    assert (header[12:16], header[16:20]) == (source.address.packed, destination.address.packed)
    pseudo_header = header[12:20] + struct.pack("!HH", 17, len(datagram))
    assert checksum(pseudo_header + datagram) == 0
    assert struct.unpack("!HHH", datagram[:6]) == (source.port, destination.port, len(payload) + 8)
    assert datagram[6:8] != b"\0\0"
    assert datagram[8:] == payload


def test_more_than_a_packet_holds_is_refused() -> None:
    end = Endpoint(IPv4Address(0), 68)
    with pytest.raises(FieldOverflowError):
        udp_packet(bytes(65508), end, end)
