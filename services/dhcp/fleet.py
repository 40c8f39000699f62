"""The fleet as this service needs it: machines by hardware address, reservations by address, subnets by network.

Built from the documents of the `machines` and `subnets` buckets, one change at a time.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import TypeVar

from libs.desired import MachineDocument, SubnetDocument

K = TypeVar("K")


class Fleet:
    """What is declared. Where two machines claim one hardware address or reservation, the first by name has it."""

    def __init__(self) -> None:
        self._machines: dict[str, MachineDocument] = {}
        self._subnets: dict[str, SubnetDocument] = {}
        self._by_mac: dict[str, list[str]] = {}
        self._by_address: dict[IPv4Address, list[str]] = {}
        self._by_network: dict[tuple[int, int], str] = {}
        self._lengths: list[int] = []
        self._by_interface: dict[str, list[SubnetDocument]] = {}
        self.reservations_changed = False  # set here, cleared by whoever has acted on it

    # --- machines -------------------------------------------------------------------------------------------

    def put_machine(self, name: str, machine: MachineDocument | None) -> None:
        """Have the machine declared so; None removes it."""
        before = self._machines.pop(name, None)
        if before:
            self._forget(before, name)
        if machine:
            self._machines[name] = machine
            for mac in machine.macs:
                _add(self._by_mac, mac, name)
            if machine.address:
                _add(self._by_address, machine.address, name)
        if (before and before.address) != (machine and machine.address):
            self.reservations_changed = True

    def _forget(self, machine: MachineDocument, name: str) -> None:
        for mac in machine.macs:
            _remove(self._by_mac, mac, name)
        if machine.address:
            _remove(self._by_address, machine.address, name)

    def machine_of(self, mac: str | None) -> MachineDocument | None:
        """The machine that has this hardware address."""
        names = self._by_mac.get(mac) if mac else None
        return self._machines[names[0]] if names else None

    def reserved_for(self, address: IPv4Address) -> str | None:
        """The name of the machine for which an address is kept."""
        names = self._by_address.get(address)
        return names[0] if names else None

    @property
    def reservations(self) -> frozenset[IPv4Address]:
        """Every address that is kept for a machine."""
        return frozenset(self._by_address)

    # --- subnets --------------------------------------------------------------------------------------------

    def put_subnet(self, name: str, subnet: SubnetDocument | None) -> None:
        """Have the subnet declared so; None removes it."""
        self._subnets.pop(name, None)
        if subnet:
            self._subnets[name] = subnet
        ordered = sorted(self._subnets.items())
        self._by_network = {
            (subnet.cidr.prefixlen, int(subnet.cidr.network_address)): name for name, subnet in reversed(ordered)
        }
        self._lengths = sorted({length for length, _ in self._by_network}, reverse=True)
        self._by_interface = {}
        for _, subnet in ordered:
            if subnet.interface:
                self._by_interface.setdefault(subnet.interface, []).append(subnet)

    @property
    def subnets(self) -> Iterator[SubnetDocument]:
        """All subnets."""
        return iter(list(self._subnets.values()))

    @property
    def interfaces(self) -> frozenset[str]:
        """The interfaces that subnets are served on."""
        return frozenset(self._by_interface)

    @property
    def has_proxies(self) -> bool:
        """Whether another server gives the addresses in some subnet."""
        return any(subnet.mode == "proxy" for subnet in self._subnets.values())

    def subnet(self, name: str) -> SubnetDocument | None:
        """The subnet of a name."""
        return self._subnets.get(name)

    def subnet_of(self, address: IPv4Address) -> SubnetDocument | None:
        """The subnet that an address is in; of nested ones the smallest."""
        number = int(address)
        for length in self._lengths:
            name = self._by_network.get((length, number >> (32 - length) << (32 - length)))
            if name is not None:
                return self._subnets[name]
        return None

    def on_link(self, interface: str) -> list[SubnetDocument]:
        """The subnets that are served on an interface, by name."""
        return self._by_interface.get(interface, [])


def _add(index: dict[K, list[str]], key: K, name: str) -> None:
    index[key] = sorted({*index.get(key, ()), name})


def _remove(index: dict[K, list[str]], key: K, name: str) -> None:
    left = [other for other in index.get(key, ()) if other != name]
    if left:
        index[key] = left
    else:
        index.pop(key, None)
