"""Which of two records of an address stands, where servers could not see each other's. Pure.

1. An address in quarantine stays there.
2. A lease that runs stands against one that has ended: to keep an address too long hurts nobody.
3. Of two running leases of one client the later end stands, as it has been promised.
4. Of two running leases of different clients, which only a broken assumption can bring about, that of the address'
   owner stands.
5. Of two ended ones of one client the end that was noticed stands; else the later.
"""

from ipaddress import IPv4Address
from typing import Any, NamedTuple

from libs.desired import Document
from services.dhcp.leases import Hardware, Lease, State


class SharedLease(Document):
    """A record as it is on the bus. Key: the address. `by`: the server that wrote it; octets in hex."""

    address: IPv4Address
    htype: int
    chaddr: str
    subnet: str
    state: State
    expires: float
    client_id: str | None = None
    uuid: str | None = None
    by: str

    @classmethod
    def of(cls, lease: Lease, by: str) -> "SharedLease":
        """A record, to be put on the bus."""
        return cls(
            address=lease.address,
            htype=lease.hardware.htype,
            chaddr=lease.hardware.address.hex(),
            subnet=lease.subnet,
            state=lease.state,
            expires=lease.expires,
            client_id=None if lease.client_id is None else lease.client_id.hex(),
            uuid=lease.uuid,
            by=by,
        )

    @property
    def lease(self) -> Lease:
        """The record. Raises ValueError where it holds no octets."""
        return Lease(
            address=self.address,
            hardware=Hardware(self.htype, bytes.fromhex(self.chaddr)),
            subnet=self.subnet,
            state=self.state,
            expires=self.expires,
            client_id=None if self.client_id is None else bytes.fromhex(self.client_id),
            uuid=self.uuid,
        )


class Version(NamedTuple):
    """A record and the server that made it."""

    lease: Lease
    by: str


def version_of(key: str, document: dict[str, Any] | None) -> Version | None:
    """What the bus holds under a key. Raises ValueError for what is no record of that address."""
    if document is None:
        return None
    shared = SharedLease.model_validate(document)
    if str(shared.address) != key:
        raise ValueError(f"it is a record of {shared.address}")
    return Version(shared.lease, shared.by)


def stands(one: Version, other: Version, owner: str, now: float) -> Version:
    """The version that stands; whichever is named first. `owner`: whose the address is; `now` is Unix time."""
    return max(one, other, key=lambda version: _rank(version, one.lease, other.lease, owner, now))


def _rank(version: Version, one: Lease, other: Lease, owner: str, now: float) -> tuple[Any, ...]:
    lease, is_one_client = version.lease, one.hardware == other.hardware
    runs = lease.expires > now
    in_quarantine, is_held = runs and lease.state is State.DECLINED, runs and lease.state is State.BOUND
    by_owner = not is_one_client and is_held and version.by == owner
    noticed = is_one_client and lease.state is not State.BOUND
    # The rest makes the choice the same for everybody where all that matters is equal.
    return (
        in_quarantine,
        is_held,
        by_owner,
        noticed,
        lease.expires,
        lease.state.value,
        lease.hardware,
        lease.subnet,
        version.by,
        lease.client_id or b"",
        lease.uuid or "",
    )
