"""What is to be simulated: the deployment that is spoken to, the machines, and how they misbehave."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from uuid import NAMESPACE_OID, UUID, uuid5

from libs.mac import parse_mac
from libs.simulator.stages import Stage
from libs.wire.dhcp import SERVER_PORT as DHCP_PORT
from libs.wire.tftp import SERVER_PORT as TFTP_PORT


class Firmware(StrEnum):
    """What a machine's network card boots with."""

    BIOS = "bios"  # a PXE ROM of a BIOS
    UEFI = "uefi"  # UEFI's own PXE, x86-64
    IPXE = "ipxe"  # a BIOS whose network card has iPXE as its ROM


class GrubBuild(StrEnum):
    """Whose GRUB looks for its configuration under which names."""

    DEBIAN = "debian"
    RED_HAT = "redhat"


@dataclass(frozen=True)
class Target:
    """The deployment: everything else a machine learns from DHCP and from the files that it is given.

    Real firmware asks TFTP on port 69 always; another port is for deployments without root.
    """

    dhcp: IPv4Address
    relay: IPv4Address  # the relay agent's own address (giaddr): it tells the subnet
    dhcp_port: int = DHCP_PORT
    tftp_port: int = TFTP_PORT


@dataclass(frozen=True)
class Timing:
    """How long machines wait, in seconds. `pace` scales all of it: 0.1 is ten times as impatient."""

    pace: float = 1.0
    dhcp_waits: Sequence[float] = (1, 2, 4, 8)  # after each DISCOVER or REQUEST
    firmware: float = 0.5  # from an address to the first request for a file
    tftp_timeout: float = 1.0  # before a packet is sent again, doubled up to four times of it
    tftp_tries: int = 6
    http_timeout: float = 20.0  # without a single octet
    callback_wait: float = 2.0  # before a callback that was not taken is made again
    callback_tries: int = 60
    restart: float = 2.0  # from switching off to the firmware's first packet
    install: float = 1.0  # what an installer does between its callbacks

    def __post_init__(self) -> None:
        if not self.pace > 0:
            raise ValueError("pace: a number above 0 is needed")

    def scaled(self, seconds: float) -> float:
        """A time at this pace."""
        return seconds * self.pace


@dataclass(frozen=True)
class Abort:
    """Break off the transfer that would reach `stage` after `percent` of it, in the first `times` boots."""

    stage: Stage
    percent: float = 50
    times: int = 1


@dataclass(frozen=True)
class Misbehaviour:
    """What a machine does that it should not. The default: nothing."""

    stop_at: Stage | None = None  # falls silent as soon as it has reached this stage
    loss: float = 0.0  # probability that a datagram is lost, each way
    abort: Abort | None = None
    power_cycle_at: Stage | None = None  # is switched off and on once, here
    slow: float = 0.0  # seconds of dawdling before each stage
    callbacks: int = 1  # how often each callback is made: 0 never, 2 twice
    fails: str = ""  # the installer gives up with this message
    foreign_server: IPv4Address | None = None  # believes another DHCP server

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise ValueError("loss: a probability from 0 to below 1 is needed")
        if self.callbacks < 0 or self.slow < 0:
            raise ValueError("callbacks, slow: a number from 0 is needed")


@dataclass(frozen=True)
class MachineSpec:
    """One machine to simulate. Its SMBIOS UUID follows from its hardware address where none is given."""

    mac: str
    name: str = ""
    firmware: Firmware = Firmware.BIOS
    grub: GrubBuild = GrubBuild.DEBIAN
    uuid: UUID | None = None
    installed: bool = False  # its disk has a system already
    misbehaviour: Misbehaviour = field(default_factory=Misbehaviour)
    tries: int = 8  # how often the firmware may start over when a boot failed
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mac", parse_mac(self.mac))

    @property
    def smbios(self) -> UUID:
        """The UUID that its firmware tells."""
        return self.uuid or uuid5(NAMESPACE_OID, self.mac)

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.name or self.mac
