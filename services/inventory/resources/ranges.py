"""Ranges of addresses: one set of them without another."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from libs.desired import AddressRange


def without(ranges: Iterable[AddressRange], excluded: Iterable[AddressRange]) -> list[AddressRange]:
    """What remains of `ranges`, in their order, when the addresses of `excluded` are taken out."""
    left = list(ranges)
    for hole in excluded:
        left = [part for found in left for part in _around(found, hole)]
    return left


def overlap(one: AddressRange, other: AddressRange) -> bool:
    """Whether they have an address in common."""
    return one.first <= other.last and other.first <= one.last


def _around(found: AddressRange, hole: AddressRange) -> Iterator[AddressRange]:
    if not overlap(found, hole):
        yield found
        return
    if found.first < hole.first:
        yield AddressRange(first=found.first, last=IPv4Address(int(hole.first) - 1))
    if found.last > hole.last:
        yield AddressRange(first=IPv4Address(int(hole.last) + 1), last=found.last)
