"""TFTP packets: what is written is read again, what is hostile is refused by name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire import FieldOverflowError, WireError
from libs.wire.tftp import (
    Ack,
    Data,
    Error,
    OpcodeError,
    OptionAck,
    Packet,
    ReadRequest,
    TextError,
    WriteRequest,
    acknowledged,
    data_header,
    decode,
    option,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)
names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
options = st.dictionaries(names, texts, max_size=6).filter(
    lambda found: len({name.lower() for name in found}) == len(found)
)
modes = st.sampled_from(["octet", "netascii", "mail"])
numbers = st.integers(0, 65535)
packets: st.SearchStrategy[Packet] = st.one_of(
    st.builds(ReadRequest, texts, modes, options),
    st.builds(WriteRequest, texts, modes, options),
    st.builds(Data, numbers, st.binary(max_size=1500)),
    st.builds(Ack, numbers),
    st.builds(Error, numbers, texts),
    st.builds(OptionAck, options),
)


@given(packets)
def test_what_is_written_is_read_again(packet: Packet) -> None:
    assert decode(packet.encode()) == packet


def reason_of(raw: bytes) -> str | None:
    """Why the octets are refused; None where they are a packet."""
    try:
        decode(raw)
    except WireError as error:
        return error.reason
    return None


@given(st.sampled_from([b"", b"\0\1", b"\0\2", b"\0\5", b"\0\6"]), st.binary(max_size=600))
def test_any_octets_are_a_packet_or_refused_by_a_reason(opcode: bytes, raw: bytes) -> None:
    assert reason_of(opcode + raw) != ""


@given(packets.filter(lambda packet: not isinstance(packet, Data)), st.integers(1, 60))
def test_zero_octets_that_a_tunnel_padded_are_left_aside(packet: Packet, padding: int) -> None:
    assert decode(packet.encode() + bytes(padding)) == packet


def test_junk_behind_an_acknowledgement_or_an_error_is_left_aside() -> None:
    assert decode(Ack(7).encode() + b"junk") == Ack(7)
    assert decode(Error(8, "enough").encode() + b"junk") == Error(8, "enough")


def test_an_option_cut_short_leaves_the_others() -> None:
    raw = b"\0\1pxelinux.0\0octet\0tsize\x000\0blks"
    assert decode(raw) == ReadRequest("pxelinux.0", "octet", {"tsize": "0"})


def test_the_first_of_a_repeated_option_counts() -> None:
    packet = decode(b"\0\1a\0octet\0blksize\x00512\0BLKSIZE\x008\0")
    assert packet == ReadRequest("a", "octet", {"blksize": "512"})


def test_modes_are_read_in_any_case_and_options_keep_their_spelling() -> None:
    packet = decode(b"\0\1a\0OcTeT\0TSize\x000\0")
    assert packet == ReadRequest("a", "octet", {"TSize": "0"})
    assert option(packet.options, "tsize") == ("TSize", "0")
    assert option(packet.options, "blksize") is None


def test_an_error_without_text_is_read() -> None:
    assert decode(b"\0\5\0\0") == Error(0, "")
    assert decode(b"\0\5\xff\xffno zero octet") == Error(65535, "no zero octet")


def test_a_name_beyond_ascii_is_read() -> None:
    assert decode("\0\1bänk\0octet\0".encode()) == ReadRequest("bänk")
    assert decode(b"\0\1b\xe4nk\0octet\0") == ReadRequest("bänk")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "truncated"),
        (b"\0", "truncated"),
        (b"\0\4", "truncated"),
        (b"\0\4\0", "truncated"),
        (b"\0\3\0", "truncated"),
        (b"\0\5\0", "truncated"),
        (b"\0\1name", "unterminated"),
        (b"\0\1name\0octet", "unterminated"),
        (b"\0\2", "unterminated"),
        (b"\0\0", "bad_opcode"),
        (b"\0\7\0\0", "bad_opcode"),
        (b"\1\4\0\0", "bad_opcode"),
    ],
)
def test_a_damaged_packet_is_refused_by_a_reason(raw: bytes, reason: str) -> None:
    assert reason_of(raw) == reason


def test_what_does_not_fit_is_not_written() -> None:
    with pytest.raises(FieldOverflowError):
        Ack(65536).encode()
    with pytest.raises(FieldOverflowError):
        Data(-1, b"").encode()
    with pytest.raises(TextError):
        ReadRequest("a\0b").encode()
    with pytest.raises(TextError):
        Error(0, "\ud800").encode()
    with pytest.raises(OpcodeError):
        decode(b"\xff\xff")


@given(st.binary(max_size=40))
def test_the_short_cut_for_acknowledgements_agrees_with_the_decoder(raw: bytes) -> None:
    try:
        packet = decode(raw)
    except WireError:
        assert acknowledged(raw) == -1
    else:
        assert acknowledged(raw) == (packet.block if isinstance(packet, Ack) else -1)


@given(numbers)
def test_the_short_cut_reads_every_block(block: int) -> None:
    assert acknowledged(Ack(block).encode() + b"pad") == block


@pytest.mark.parametrize(("block", "wire"), [(1, 1), (65535, 65535), (65536, 0), (65537, 1), (200000, 3392)])
def test_blocks_roll_over_from_65535_to_0(block: int, wire: int) -> None:
    assert decode(data_header(block) + b"x") == Data(wire, b"x")


def text_of(packet: Packet) -> str:
    """A request or an error as the captures are written down."""
    if isinstance(packet, Error):
        return f"ERROR {packet.code} {packet.message}"
    assert isinstance(packet, ReadRequest)
    return " ".join(["RRQ", packet.path, packet.mode, *(f"{name}={value}" for name, value in packet.options.items())])


def captured() -> list[tuple[str, str]]:
    """What firmware and loaders were seen to send: a line of text, then the same octets."""
    lines = Path(__file__).with_name("golden").joinpath("tftp-requests.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    return list(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize(("text", "octets"), captured())
def test_what_firmware_sends_is_read(text: str, octets: str) -> None:
    assert text_of(decode(bytes.fromhex(octets))) == text
