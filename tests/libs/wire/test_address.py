"""An address that remembers is in all other ways one of the standard library's."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from libs.wire.address import address_of


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4))
def test_it_compares_hashes_and_reads_like_any_other(packed: bytes, other: bytes) -> None:
    mine, plain, another = address_of(packed), IPv4Address(packed), IPv4Address(other)
    assert (mine, hash(mine), str(mine), mine.packed, int(mine)) == (
        plain,
        hash(plain),
        str(plain),
        plain.packed,
        int(plain),
    )
    assert (mine == another, mine < another, another == mine) == (plain == another, plain < another, another == plain)
    assert mine in {plain}
    assert plain in {mine}
    assert mine in IPv4Network((packed, 24), strict=False)
    assert mine != packed
