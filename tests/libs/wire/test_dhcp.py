"""DHCP messages survive a round trip, and octets that are none are refused with a WireError."""

from contextlib import suppress
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.wire import FieldOverflowError, TruncatedError, WireError
from libs.wire.dhcp import (
    HardwareLengthError,
    Message,
    NotDhcpError,
    OverloadError,
    decode,
    encode,
    encode_options,
    encoded_size,
)
from libs.wire.dhcp_options import MessageType, Option

MAC = bytes.fromhex("525400000001")
COOKIE = bytes.fromhex("63825363")

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
texts = st.binary(max_size=60).filter(lambda value: b"\0" not in value)
options = st.dictionaries(
    st.integers(1, 254).filter(lambda code: code not in (Option.OVERLOAD, Option.RELAY_AGENT_INFORMATION)),
    st.binary(max_size=600),
    max_size=8,
)
messages = st.builds(
    Message,
    op=st.sampled_from([1, 2]),
    xid=st.integers(0, 2**32 - 1),
    chaddr=st.binary(max_size=16),
    htype=st.integers(0, 255),
    hops=st.integers(0, 255),
    secs=st.integers(0, 65535),
    flags=st.sampled_from([0, 0x8000]),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    sname=texts,
    file=texts,
    options=options,
)


def header(op: int = 1, hlen: int = 6, sname: bytes = b"", file: bytes = b"", cookie: bytes = COOKIE) -> bytes:
    fixed = bytes((op, 1, hlen, 0)) + bytes(24) + MAC.ljust(16, b"\0")
    return fixed + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + cookie


@settings(max_examples=60)
@given(messages)
def test_what_is_written_is_read_back(message: Message) -> None:
    read = decode(encode(message))
    assert read == message
    assert list(read.options) == list(message.options)


@settings(max_examples=300)
@given(st.binary(max_size=700))
def test_garbage_raises_nothing_but_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        decode(data)


@settings(max_examples=300)
@given(
    st.binary(max_size=400), st.binary(max_size=64), st.binary(max_size=128), st.sampled_from([b"", b"\x34\x01\x03"])
)
def test_garbage_in_the_option_fields_raises_nothing_but_a_wire_error(
    tail: bytes, sname: bytes, file: bytes, overload: bytes
) -> None:
    with suppress(WireError):
        message = decode(header(sname=sname, file=file) + overload + tail)
        assert decode(encode(message)).options == message.options


@settings(max_examples=60)
@given(messages, st.integers(1, 300))
def test_a_message_cut_anywhere_is_read_or_refused(message: Message, cut: int) -> None:
    data = encode(message, minimum=0)
    with suppress(WireError):
        decode(data[:-cut])


@pytest.mark.parametrize("size", [0, 1, 235, 239])
def test_less_than_240_octets_are_truncated(size: int) -> None:
    with pytest.raises(TruncatedError):
        decode(header()[:size])


def test_without_the_magic_cookie_it_is_not_dhcp() -> None:
    """RFC 2131 section 3."""
    with pytest.raises(NotDhcpError):
        decode(header(cookie=b"\x63\x82\x53\x64"))


@pytest.mark.parametrize("op", [0, 3, 255])
def test_op_is_request_or_reply(op: int) -> None:
    with pytest.raises(NotDhcpError):
        decode(header(op=op))


def test_a_hardware_address_longer_than_its_field_is_refused() -> None:
    with pytest.raises(HardwareLengthError):
        decode(header(hlen=17))


def test_an_option_that_runs_past_the_end_is_truncated() -> None:
    with pytest.raises(TruncatedError):
        decode(header() + bytes((53, 2, 1)))


def test_a_missing_end_is_forgiven() -> None:
    assert decode(header() + bytes((53, 1, 1))).type == MessageType.DISCOVER


def test_pad_is_skipped_and_end_ends() -> None:
    """RFC 2132 sections 3.1 and 3.2."""
    message = decode(header() + bytes((0, 0, 53, 1, 3, 0, 255, 54, 9)))
    assert message.options == {53: b"\x03"}


def test_a_repeated_option_is_joined_in_order() -> None:
    """RFC 3396 section 7."""
    assert decode(header() + b"\x0c\x02no\x3c\x01x\x0c\x04de01\xff").options[12] == b"node01"


def test_a_long_option_is_split_and_joined() -> None:
    """RFC 3396 section 8."""
    value = bytes(range(256)) * 3
    octets = encode_options({Option.VENDOR_SPECIFIC: value})
    assert (octets[:2], octets[257:259]) == (b"\x2b\xff", b"\x2b\xff")
    assert encoded_size(value) == len(octets) == len(value) + 2 * 4
    assert decode(header() + octets).options[43] == value


@given(st.binary(max_size=1100))
def test_the_size_of_an_option_is_known_before_it_is_written(value: bytes) -> None:
    assert encoded_size(value) == len(encode_options({Option.VENDOR_SPECIFIC: value}))


def test_overload_is_read_in_the_order_options_file_sname() -> None:
    """RFC 2132 section 9.3, RFC 3396 section 5."""
    message = decode(header(sname=b"\x0c\x02et\xff", file=b"\x0c\x03.pl\xff") + b"\x34\x01\x03\x0c\x04node\xff")
    assert message.options == {12: b"node.plet"}
    assert (message.sname, message.file) == (b"", b"")


def test_overload_of_file_leaves_sname_alone() -> None:
    message = decode(header(sname=b"server", file=b"\x0c\x01a\xff") + b"\x34\x01\x01\xff")
    assert (message.sname, message.options) == (b"server", {12: b"a"})


@pytest.mark.parametrize("value", [b"\x00", b"\x04", b"\x01\x01"])
def test_a_wrong_overload_is_refused(value: bytes) -> None:
    with pytest.raises(OverloadError):
        decode(header() + bytes((52, len(value))) + value)


def test_the_relay_agent_information_is_written_last() -> None:
    """RFC 3046 section 2.1."""
    assert encode_options({82: b"\x01\x01a", 53: b"\x05"}) == b"\x35\x01\x05\x52\x03\x01\x01a"


def test_a_message_is_padded_to_300_octets() -> None:
    """RFC 1542 section 2.1."""
    message = Message(op=2, xid=1, chaddr=MAC)
    assert len(encode(message)) == 300
    assert len(encode(message, minimum=0)) == 241


@pytest.mark.parametrize(
    "message",
    [
        Message(op=2, xid=1, chaddr=bytes(17)),
        Message(op=2, xid=1, chaddr=MAC, file=bytes(129)),
        Message(op=2, xid=1, chaddr=MAC, sname=bytes(65)),
        Message(op=2, xid=2**32, chaddr=MAC),
        Message(op=2, xid=1, chaddr=MAC, options={0: b""}),
        Message(op=2, xid=1, chaddr=MAC, options={255: b""}),
    ],
)
def test_what_does_not_fit_is_not_written(message: Message) -> None:
    with pytest.raises(FieldOverflowError):
        encode(message)


def test_the_type_has_a_name_for_metrics() -> None:
    discover = Message(op=1, xid=1, chaddr=MAC, options={53: b"\x01"})
    assert (discover.type, discover.type_name) == (MessageType.DISCOVER, "discover")
    assert Message(op=1, xid=1, chaddr=MAC).type is None
    assert Message(op=1, xid=1, chaddr=MAC, options={53: b"\x63"}).type_name == "other"
    with pytest.raises(WireError):
        _ = Message(op=1, xid=1, chaddr=MAC, options={53: b""}).type
