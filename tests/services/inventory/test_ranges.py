"""Pools without their exclusions."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from libs.desired import AddressRange
from services.inventory.resources.ranges import without

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=5)


def spanned(spans: list[list[int]]) -> list[AddressRange]:
    return [AddressRange(first=IPv4Address(first), last=IPv4Address(last)) for first, last in spans]


def addresses(ranges: list[AddressRange]) -> list[int]:
    return [number for part in ranges for number in range(int(part.first), int(part.last) + 1)]


@given(SPANS, SPANS)
def test_what_remains_is_every_address_that_is_not_excluded_in_its_order(
    pool: list[list[int]], excluded: list[list[int]]
) -> None:
    taken_out = set(addresses(spanned(excluded)))
    expected = [number for number in addresses(spanned(pool)) if number not in taken_out]
    assert addresses(without(spanned(pool), spanned(excluded))) == expected
