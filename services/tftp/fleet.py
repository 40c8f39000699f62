"""What the bus tells this service: who holds which address, and the boot configurations of each machine."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from libs.desired import BootFilesDocument, LeaseDocument
from services.tftp.errors import RefusedError
from services.tftp.paths import address_in, mac_in, normalise

Role = Literal["kernel", "initrd"]


@dataclass(frozen=True, slots=True)
class Who:
    """The machine behind a request, as far as it is known."""

    mac: str | None = None
    machine: str | None = None
    install_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A boot configuration, and whose it is."""

    octets: bytes
    document: BootFilesDocument


@dataclass(frozen=True, slots=True)
class _BootFiles:
    """A document, read: its texts by path in lower case, and what its machine boots as what."""

    document: BootFilesDocument
    rendered: Mapping[str, Rendered]
    roles: Counter[tuple[str, Role]]

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "_BootFiles":
        document = BootFilesDocument.model_validate(value)
        rendered = {
            _normalised(path).lower(): Rendered(text.encode(), document) for path, text in document.files.items()
        }
        roles: Counter[tuple[str, Role]] = Counter((_normalised(path), "initrd") for path in document.initrd)
        if document.kernel:
            roles[_normalised(document.kernel), "kernel"] += 1
        return cls(document, rendered, roles)


class Fleet:
    """Two replicated buckets, indexed by what requests carry: addresses and paths."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._leases: dict[str, LeaseDocument] = {}
        self._machines: dict[str, _BootFiles] = {}
        self._machine_of_mac: dict[str, str] = {}
        self._machine_of_address: dict[str, str] = {}
        self._rendered: dict[str, Rendered] = {}  # by path in lower case
        self._roles: Counter[tuple[str, Role]] = Counter()  # how many machines boot this file as what

    def lease_changed(self, key: str, value: Mapping[str, Any] | None) -> None:
        """`key` is an address. Raises ValueError for what is no lease."""
        if value is None:
            self._leases.pop(key, None)
            return
        lease = LeaseDocument.model_validate(value)
        if lease.expires.tzinfo is None:
            raise ValueError("expires has no time zone")
        self._leases[key] = lease

    def bootfiles_changed(self, key: str, value: Mapping[str, Any] | None) -> None:
        """`key` is a machine's name. Raises ValueError for what is no document of boot files."""
        files = _BootFiles.read(value) if value is not None else None
        if before := self._machines.pop(key, None):
            self._forget(key, before)
        if files:
            self._machines[key] = files
            self._index(key, files)

    def who(self, ip: str, path: str) -> Who:
        """The machine at an address: by its lease, else by its reserved address, else as the path claims."""
        if lease := self._lease(ip):
            return self._by_mac(lease.mac, lease.machine)
        if machine := self._machine_of_address.get(ip):
            return _of(self._machines[machine].document)
        mac = mac_in(path)
        if rendered := self.rendered(path):
            return _of(rendered.document, mac)
        return self._by_mac(mac, None) if mac else Who()

    def rendered(self, path: str) -> Rendered | None:
        """The boot configuration at a path. Loaders spell hardware addresses and UUIDs in either case."""
        return self._rendered.get(path.lower()) or self._rendered_by_address(path)

    def role(self, path: str) -> Role | None:
        """Whether machines boot the file at this path as their kernel or their initial ram disk."""
        if self._roles[path, "kernel"]:
            return "kernel"
        return "initrd" if self._roles[path, "initrd"] else None

    def _lease(self, ip: str) -> LeaseDocument | None:
        lease = self._leases.get(ip)
        return lease if lease and lease.expires > self._now() else None

    def _rendered_by_address(self, path: str) -> Rendered | None:
        named = address_in(path)
        if not named:
            return None
        loader, address = named
        lease = self._lease(str(address))
        machine = self._machine_of_mac.get(lease.mac) if lease else self._machine_of_address.get(str(address))
        document = self._machines[machine].document if machine else None
        text = document.by_address.get(loader) if document else None
        return Rendered(text.encode(), document) if document and text is not None else None

    def _by_mac(self, mac: str, machine: str | None) -> Who:
        key = self._machine_of_mac.get(mac)
        return _of(self._machines[key].document, mac) if key else Who(mac, machine)

    def _index(self, key: str, files: _BootFiles) -> None:
        self._machine_of_mac.update(dict.fromkeys(files.document.macs, key))
        if files.document.address:
            self._machine_of_address[str(files.document.address)] = key
        self._rendered.update(files.rendered)
        self._roles.update(files.roles)

    def _forget(self, key: str, files: _BootFiles) -> None:
        """Only what is still its own: another machine may have got its address or path meanwhile."""
        for mac in files.document.macs:
            if self._machine_of_mac.get(mac) == key:
                del self._machine_of_mac[mac]
        address = str(files.document.address)
        if self._machine_of_address.get(address) == key:
            del self._machine_of_address[address]
        for path, rendered in files.rendered.items():
            if self._rendered.get(path) is rendered:
                del self._rendered[path]
        self._roles -= files.roles


def _of(document: BootFilesDocument, mac: str | None = None) -> Who:
    return Who(mac or next(iter(document.macs), None), document.machine, document.install_id)


def _normalised(path: str) -> str:
    try:
        return normalise(path)
    except RefusedError:
        raise ValueError(f"the path {path!r} climbs out of what is served") from None
