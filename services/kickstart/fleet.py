"""The fleet as kickstart sees it: machines, subnets and leases out of the replicas, and what follows from them."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from libs.desired import ImageDocument, LeaseDocument, MachineDocument, SubnetDocument
from libs.mac import MacError, parse_mac
from services.kickstart.installs import Installs

Changed = Callable[[str], None]


class Fleet:
    """Fed by the replicas; `on_change(machine)` hears of each machine whose boot files may have become others."""

    def __init__(self, installs: Installs) -> None:
        self.installs = installs
        self.on_change: Changed = _nobody
        self._machines: dict[str, MachineDocument] = {}
        self._by_mac: dict[str, str] = {}
        self._by_address: dict[IPv4Address, str] = {}
        self._subnets: dict[str, SubnetDocument] = {}
        self._leases: dict[IPv4Address, LeaseDocument] = {}
        self._newest: dict[str, LeaseDocument] = {}  # by mac, the lease that expires last
        self._images: dict[str, ImageDocument] = {}

    # --- what the replicas tell -----------------------------------------------------------------------------

    def machine_changed(self, name: str, value: dict[str, Any] | None) -> None:
        """A machine's document came or went. Raises ValueError for one that cannot be read."""
        document = MachineDocument.model_validate(value) if value is not None else None
        macs = [_spelled(mac) for mac in document.macs] if document else []
        self._forget(name)
        if document:
            self._machines[name] = document
            self._by_mac |= dict.fromkeys(macs, name)
            if document.address:
                self._by_address[document.address] = name
            if document.image:
                self._images[document.image.name] = document.image
        self.installs.observe(name, document)
        self.on_change(name)

    def subnet_changed(self, name: str, value: dict[str, Any] | None) -> None:
        """A subnet's document came or went. Raises ValueError for one that cannot be read."""
        if value is None:
            self._subnets.pop(name, None)
        else:
            self._subnets[name] = SubnetDocument.model_validate(value)
        for machine in self._machines:
            self.on_change(machine)

    def lease_changed(self, key: str, value: dict[str, Any] | None) -> None:
        """A lease came or went. Raises ValueError for one that cannot be read."""
        address = IPv4Address(key)
        lease = LeaseDocument.model_validate(value) if value is not None else None
        gone = self._leases.pop(address, None)
        if lease:
            self._leases[address] = lease
        for mac in {held.mac for held in (gone, lease) if held}:
            self._note_newest(mac, address)

    # --- what the service asks ------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """All machines."""
        return list(self._machines)

    def machine(self, name: str) -> MachineDocument | None:
        """A machine as it is to be served now: an install that is done is over, whatever the document still says."""
        document = self._machines.get(name)
        if document is None or document.netboot != "install":
            return document
        if document.install is None or self.installs.is_done(document.install.id):
            return document.model_copy(update={"netboot": "disk", "install": None})
        return document

    def by_mac(self, mac: str) -> MachineDocument | None:
        """The machine that a hardware address belongs to."""
        return self.machine(self._by_mac.get(mac, ""))

    def client(self, address: str) -> tuple[str | None, MachineDocument | None]:
        """Who asks from this address: the hardware address and the machine, as far as they are known."""
        try:
            source = IPv4Address(address)
        except ValueError:
            return None, None
        if lease := self._leases.get(source):
            return lease.mac, self.by_mac(lease.mac)
        if machine := self.machine(self._by_address.get(source, "")):
            return _spelled(machine.macs[0]) if machine.macs else None, machine
        return None, None

    def image(self, name: str) -> ImageDocument | None:
        """An image that some machine is or was to be given."""
        return self._images.get(name)

    def subnet_of(self, machine: MachineDocument) -> SubnetDocument | None:
        """Where a machine is: by its own address, by its newest lease, or because there is one subnet only."""
        for subnet in self._subnets.values():
            if machine.address and machine.address in subnet.cidr:
                return subnet
        for mac in machine.macs:
            lease = self._newest.get(_spelled(mac))
            if lease and lease.subnet in self._subnets:
                return self._subnets[lease.subnet]
        return next(iter(self._subnets.values())) if len(self._subnets) == 1 else None

    def address_in(self, subnet: SubnetDocument, machine: MachineDocument) -> IPv4Address:
        """An address in the subnet, to find out from which of ours it is reached."""
        if machine.address and machine.address in subnet.cidr:
            return machine.address
        return subnet.gateway or next(subnet.cidr.hosts())

    def _note_newest(self, mac: str, address: IPv4Address) -> None:
        """Keep the lease of a card that expires last, after the one at `address` has changed."""
        before = self._newest.pop(mac, None)
        held = [lease for lease in (before, self._leases.get(address)) if lease and lease.mac == mac]
        if before and before.ip == address:
            held = [lease for lease in self._leases.values() if lease.mac == mac]
        if not held:
            return
        after = self._newest[mac] = max(held, key=lambda lease: lease.expires)
        if mac in self._by_mac and (before is None or before.subnet != after.subnet):
            self.on_change(self._by_mac[mac])

    def _forget(self, name: str) -> None:
        old = self._machines.pop(name, None)
        if old is None:
            return
        for mac in map(_spelled, old.macs):
            if self._by_mac.get(mac) == name:
                del self._by_mac[mac]
        if old.address and self._by_address.get(old.address) == name:
            del self._by_address[old.address]


def _spelled(mac: str) -> str:
    try:
        return parse_mac(mac)
    except MacError as error:
        raise ValueError(str(error)) from None


def _nobody(_machine: str) -> None:
    return
