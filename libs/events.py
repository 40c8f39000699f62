"""THE event catalogue: every fact that a service may publish, as one frozen type and one sentence each.

An event is a thing that has happened. To add one, declare its class in the group of the service that publishes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from libs.envelope import CATALOGUE, SCHEMA, Event, EventError, decode, derived_id, encode, new_id, subject

__all__ = ["CATALOGUE", "SCHEMA", "Event", "EventError", "decode", "derived_id", "encode", "new_id", "subject"]

# --- dhcp ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Lease(Event, type=""):
    subnet: str
    client: str = "other"  # pxe | ipxe | http | other: what the client's options say it is
    arch: str | None = None  # the architecture it boots as (option 93), by its name in libs.wire.pxe
    boot_file: str | None = None  # the boot program that was named to it, if any
    relay: str | None = None  # the relay agent it came through


@dataclass(frozen=True, kw_only=True)
class LeaseOffered(_Lease, type="lease.offered"):
    """An address was offered to a client; in a subnet of mode proxy the boot program alone."""


@dataclass(frozen=True, kw_only=True)
class LeaseAcknowledged(_Lease, type="lease.acknowledged"):
    """An address was assigned: the lease is on stable storage and the client has been told."""

    seconds: int = 0
    renewed: bool = False


@dataclass(frozen=True, kw_only=True)
class LeaseRefused(_Lease, type="lease.refused"):
    """A client asked for an address that it may not use and was told so (DHCPNAK)."""

    requested: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class LeaseDeclined(_Lease, type="lease.declined"):
    """An address was found in use by another host, by its client or by our probe; it is in quarantine."""

    found_by: str = "client"  # client | probe
    holder: str | None = None  # the hardware address that answered the probe


@dataclass(frozen=True, kw_only=True)
class LeaseReleased(_Lease, type="lease.released"):
    """A client gave its address back, or an operator took it."""

    by: str = "client"  # client | operator


@dataclass(frozen=True, kw_only=True)
class LeaseExpired(_Lease, type="lease.expired"):
    """A lease ran out without being renewed."""


@dataclass(frozen=True, kw_only=True)
class PoolExhausted(Event, type="pool.exhausted"):
    """A client got no answer because its subnet has no free address."""

    subnet: str
    size: int = 0
    leased: int = 0
    offered: int = 0
    quarantined: int = 0


@dataclass(frozen=True, kw_only=True)
class RivalDetected(Event, type="rival.detected"):
    """A machine of ours accepted the offer of another DHCP server."""

    subnet: str
    server: str


@dataclass(frozen=True, kw_only=True)
class MachineUnknown(Event, type="machine.unknown"):
    """A hardware address that nobody registered asks for an address."""

    subnet: str
    client: str = "other"
    arch: str | None = None
    vendor_class: str | None = None
    uuid: str | None = None
    relay: str | None = None


# --- tftp and kickstart: files ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fetched(Event, type=""):
    """A file arrived whole: the client acknowledged its last byte."""

    path: str
    protocol: str = "tftp"  # tftp | http
    bytes: int = 0
    seconds: float = 0.0
    retransmits: int = 0
    blksize: int | None = None
    windowsize: int | None = None
    round_trip: float | None = None  # seconds, the mean of what was measured


@dataclass(frozen=True, kw_only=True)
class PxelinuxFetched(Fetched, type="pxelinux.fetched"):
    """PXELINUX, the BIOS boot loader, arrived."""


@dataclass(frozen=True, kw_only=True)
class GrubFetched(Fetched, type="grub.fetched"):
    """GRUB, the UEFI boot loader, arrived."""


@dataclass(frozen=True, kw_only=True)
class IpxeFetched(Fetched, type="ipxe.fetched"):
    """The iPXE boot loader arrived."""


@dataclass(frozen=True, kw_only=True)
class ShimFetched(Fetched, type="shim.fetched"):
    """shim, the first loader of a Secure Boot chain, arrived."""


@dataclass(frozen=True, kw_only=True)
class BootconfigFetched(Fetched, type="bootconfig.fetched"):
    """The machine's own boot configuration arrived."""

    boots: str = "install"  # install | disk: what the configuration tells the machine to boot


@dataclass(frozen=True, kw_only=True)
class KernelFetched(Fetched, type="kernel.fetched"):
    """The installer's kernel arrived."""


@dataclass(frozen=True, kw_only=True)
class InitrdFetched(Fetched, type="initrd.fetched"):
    """An initial ram disk of the installer arrived."""


@dataclass(frozen=True, kw_only=True)
class FileFetched(Fetched, type="file.fetched"):
    """Any other file arrived."""


@dataclass(frozen=True, kw_only=True)
class TransferFailed(Event, type="transfer.failed"):
    """A transfer ended before its last byte."""

    path: str
    reason: str  # aborted | timed_out | missing | refused
    protocol: str = "tftp"
    detail: str = ""
    bytes: int = 0  # acknowledged so far
    size: int | None = None
    block: int = 0
    seconds: float = 0.0
    retransmits: int = 0


# --- kickstart: the installer -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AnswersFetched(Fetched, type="answers.fetched"):
    """The installer fetched its answer file."""


@dataclass(frozen=True, kw_only=True)
class AnswersFailed(Event, type="answers.failed"):
    """An answer file could not be rendered or was refused."""

    reason: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class InstallStarted(Event, type="install.started"):
    """The installer began its work."""


@dataclass(frozen=True, kw_only=True)
class InstallProgress(Event, type="install.progress"):
    """The installer reached a phase."""

    phase: str = ""
    percent: float | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class InstallDone(Event, type="install.done"):
    """The installer reports that the system is on the disk."""


@dataclass(frozen=True, kw_only=True)
class InstallFailed(Event, type="install.failed"):
    """The installer reports that it gave up."""

    reason: str = ""


# --- inventory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MachineRegistered(Event, type="machine.registered"):
    """A machine was added to the fleet."""

    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MachineChanged(Event, type="machine.changed"):
    """A machine's declaration changed."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MachineRemoved(Event, type="machine.removed"):
    """A machine was taken out of the fleet."""


@dataclass(frozen=True, kw_only=True)
class MachineDiscovered(Event, type="machine.discovered"):
    """An unregistered machine reported what it is made of."""

    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InstallOrdered(Event, type="install.ordered"):
    """An operator ordered a machine to be installed."""

    profile: str
    image: str
    by: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)  # state -> seconds it may last


@dataclass(frozen=True, kw_only=True)
class InstallCancelled(Event, type="install.cancelled"):
    """An operator withdrew an install."""

    by: str = ""


@dataclass(frozen=True, kw_only=True)
class InstallStalled(Event, type="install.stalled"):
    """A machine did not reach the next milestone within its deadline."""

    state: str
    expected: str = ""
    waited: int = 0  # seconds
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MachineBooted(Event, type="machine.booted"):
    """An installed machine came up from its own disk."""


@dataclass(frozen=True, kw_only=True)
class StateChanged(Event, type="state.changed"):
    """An install moved from one state to another."""

    before: str
    after: str
    cause: str = ""  # the type of the event that moved it
    cause_id: str = ""


@dataclass(frozen=True, kw_only=True)
class RolloutStarted(Event, type="rollout.started"):
    """A rollout began its first wave."""

    rollout: str
    machines: int = 0


@dataclass(frozen=True, kw_only=True)
class RolloutPaused(Event, type="rollout.paused"):
    """A rollout stopped ordering installs."""

    rollout: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RolloutFinished(Event, type="rollout.finished"):
    """A rollout has no install left to order or await."""

    rollout: str
    installed: int = 0
    failed: int = 0
