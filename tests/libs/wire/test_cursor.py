"""The cursor reads what is there and raises a WireError for what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire import TruncatedError, UnterminatedError, WireError
from libs.wire.cursor import Cursor


def test_numbers_are_read_in_network_byte_order() -> None:
    cursor = Cursor(bytes.fromhex("01020304050607"))
    assert (cursor.u8(), cursor.u16(), cursor.u32()) == (0x01, 0x0203, 0x04050607)
    assert cursor.remaining == 0


@pytest.mark.parametrize("count", [-1, 4, 10**9])
def test_a_read_beyond_the_end_is_truncated_and_moves_nothing(count: int) -> None:
    cursor = Cursor(b"abc")
    with pytest.raises(TruncatedError):
        cursor.take(count)
    assert cursor.position == 0


def test_a_text_ends_at_its_zero_octet() -> None:
    cursor = Cursor(b"octet\0blksize\0left")
    assert [cursor.until(), cursor.until(), cursor.rest()] == [b"octet", b"blksize", b"left"]


def test_a_text_without_an_end_is_an_error() -> None:
    with pytest.raises(UnterminatedError):
        Cursor(b"octet").until()


@given(st.binary(max_size=64), st.lists(st.sampled_from(["u8", "u16", "u32", "until", "rest"])))
def test_any_reads_of_any_octets_return_or_raise_a_wire_error(data: bytes, reads: list[str]) -> None:
    cursor = Cursor(data)
    for read in reads:
        before = cursor.position
        try:
            getattr(cursor, read)()
        except WireError:
            assert cursor.position == before
        assert cursor.position + cursor.remaining == len(data)
