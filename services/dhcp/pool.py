"""The order in which a subnet's pool gives out its addresses."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address

from libs.desired import AddressRange, SubnetDocument
from libs.wire.address import address_of


class Pool:
    """Addresses never given out come first, in their order; then those that came back.

    An address that `take` passes over because it is not free is looked at again only after `give_back` or `restart`:
    so a search costs as much as it finds, also where the pool is exhausted.
    """

    def __init__(self, subnet: SubnetDocument) -> None:
        self._subnet = subnet
        self._ranges = [(int(pool.first), int(pool.last)) for pool in _within(subnet)]
        # An address that cannot be a client's although a range spans it.
        edges = {subnet.cidr.network_address, subnet.cidr.broadcast_address} if subnet.cidr.prefixlen < 31 else set()
        self._excluded = edges | ({subnet.gateway} if subnet.gateway else set())
        self._fresh = self._addresses()
        self._returned: deque[IPv4Address] = deque()
        self._waiting: set[IPv4Address] = set()

    def serves(self, subnet: SubnetDocument) -> bool:
        """Whether the pool was made for just these ranges."""
        mine = self._subnet
        return (mine.cidr, mine.pools, mine.gateway) == (subnet.cidr, subnet.pools, subnet.gateway)

    def __contains__(self, address: IPv4Address) -> bool:
        number = int(address)
        for first, last in self._ranges:
            if first <= number <= last:
                return address not in self._excluded
        return False

    def __iter__(self) -> Iterator[IPv4Address]:
        return self._addresses()

    def __len__(self) -> int:
        spanned = sum(last - first + 1 for first, last in self._ranges)
        return spanned - sum(any(first <= int(e) <= last for first, last in self._ranges) for e in self._excluded)

    def take(self, is_free: Callable[[IPv4Address], bool]) -> IPv4Address | None:
        """The next free address, or None."""
        while (address := self._next()) is not None:
            if is_free(address):
                return address
        return None

    def give_back(self, address: IPv4Address) -> None:
        """An address that was taken has no use any more."""
        if address in self and address not in self._waiting:
            self._returned.append(address)
            self._waiting.add(address)

    def restart(self) -> None:
        """Look at every address again: reservations have changed."""
        self._fresh = self._addresses()
        self._returned.clear()
        self._waiting.clear()

    def _next(self) -> IPv4Address | None:
        address = next(self._fresh, None)
        if address is None and self._returned:
            address = self._returned.popleft()
            self._waiting.discard(address)
        return address

    def _addresses(self) -> Iterator[IPv4Address]:
        for first, last in self._ranges:
            for number in range(first, last + 1):
                address = address_of(number.to_bytes(4))
                if address not in self._excluded:
                    yield address


def _within(subnet: SubnetDocument) -> Iterable[AddressRange]:
    """The ranges, cut to the subnet and without overlap, so that no address is counted or given twice."""
    lowest, highest = int(subnet.cidr.network_address), int(subnet.cidr.broadcast_address)
    for pool in sorted(subnet.pools, key=lambda pool: pool.first):
        first, last = max(lowest, int(pool.first)), min(highest, int(pool.last))
        if first <= last:
            yield AddressRange(first=IPv4Address(first), last=IPv4Address(last))
            lowest = last + 1
