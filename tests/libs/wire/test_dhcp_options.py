"""Each kind of option value is read back as it was written, and other octets are refused."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire import FieldOverflowError, WireError
from libs.wire import dhcp_options as options

READERS: list[Callable[[bytes], object]] = [
    options.read_u8,
    options.read_u16,
    options.read_u32,
    options.read_address,
    options.read_addresses,
    options.read_text,
    options.read_architectures,
    options.read_machine_identifier,
    options.read_user_classes,
    options.read_sub_options,
]


@pytest.mark.parametrize("reader", READERS)
def test_garbage_raises_nothing_but_a_wire_error(reader: Callable[[bytes], object]) -> None:
    @given(st.binary(max_size=40))
    def holds(value: bytes) -> None:
        with suppress(WireError):
            reader(value)

    holds()


@given(st.integers(0, 2**32 - 1))
def test_numbers(number: int) -> None:
    assert options.read_u32(options.write_u32(number)) == number
    assert options.read_u16(options.write_u16(number & 0xFFFF)) == number & 0xFFFF
    assert options.read_u8(options.write_u8(number & 0xFF)) == number & 0xFF


@pytest.mark.parametrize("number", [-1, 256])
def test_a_number_beyond_its_field_is_not_written(number: int) -> None:
    with pytest.raises(FieldOverflowError):
        options.write_u8(number)


def test_addresses() -> None:
    two = [IPv4Address("10.77.0.53"), IPv4Address("10.77.0.54")]
    assert options.read_addresses(options.write_addresses(two)) == two
    assert options.read_address(two[0].packed) == two[0]


def test_a_text_ends_before_its_zero_octets() -> None:
    """RFC 2132 section 2."""
    assert options.read_text(b"pxelinux.0\0\0") == "pxelinux.0"


def test_a_text_beyond_ascii_cannot_hurt() -> None:
    assert options.read_text(b"a\xff") == "a\\xff"


def test_several_architectures_keep_their_order() -> None:
    """RFC 4578 section 2.1."""
    assert options.read_architectures(options.write_architectures([9, 7])) == (9, 7)


def test_the_machine_identifier_is_mixed_endian() -> None:
    """RFC 4578 section 2.3; the SMBIOS specification stores the first three fields little-endian."""
    octets = bytes.fromhex("00 33221100 5544 7766 8899aabbccddeeff")
    uuid = UUID("00112233-4455-6677-8899-aabbccddeeff")
    assert options.read_machine_identifier(octets) == uuid
    assert options.write_machine_identifier(uuid) == octets


@pytest.mark.parametrize("filler", [b"\x00", b"\xff"])
def test_a_board_without_identifier_has_none(filler: bytes) -> None:
    assert options.read_machine_identifier(b"\0" + filler * 16) is None


def test_user_classes_bare_and_length_prefixed() -> None:
    """RFC 3004 section 4; iPXE sends the bare text."""
    assert options.read_user_classes(b"iPXE") == (b"iPXE",)
    assert options.read_user_classes(b"\x04iPXE\x02ab") == (b"iPXE", b"ab")


@given(st.dictionaries(st.integers(0, 255), st.binary(max_size=80), max_size=6))
def test_sub_options(values: dict[int, bytes]) -> None:
    assert options.read_sub_options(options.write_sub_options(values)) == values
