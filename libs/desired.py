"""Desired state: the documents that flow down through key-value buckets.

inventory writes `machines` and `subnets`; dhcp writes `leases`; kickstart writes `bootfiles`. Each reader keeps a
persisted replica, so that it serves machines while the writer or the bus is away.
"""

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MACHINES = "kickfleet_machines"
SUBNETS = "kickfleet_subnets"
LEASES = "kickfleet_leases"
BOOTFILES = "kickfleet_bootfiles"
SHARING = "kickfleet_dhcp"  # among dhcp servers: who they are, and their leases while there are several
BUCKETS = (MACHINES, SUBNETS, LEASES, BOOTFILES, SHARING)

BootLoader = Literal["auto", "pxelinux", "lpxelinux", "grub", "shim", "ipxe"]


class Document(BaseModel):
    """A frozen document. A field that only a newer writer knows is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class AddressRange(Document):
    """Addresses from `first` to `last`, both included."""

    first: IPv4Address
    last: IPv4Address


class SubnetDocument(Document):
    """Key: the subnet's name. What dhcp may answer there, and what answer files say of the network."""

    name: str
    cidr: IPv4Network
    interface: str | None = None
    pools: list[AddressRange] = []
    gateway: IPv4Address | None = None
    dns: list[IPv4Address] = []
    domain: str | None = None
    lease_seconds: int = 3600
    mode: Literal["server", "proxy"] = "server"
    unknown: Literal["ignore", "discover", "lease"] = "ignore"
    boot_loader: BootLoader = "auto"
    next_server: IPv4Address | None = None  # None: the address of ours that the subnet reaches


class InstallDocument(Document):
    """The install that a machine is to run. The token opens its answer file and callbacks, and nothing else."""

    id: str
    token: str
    ordered_at: datetime


class ImageDocument(Document):
    """An operating system to install: paths are relative to `<data>/images/<name>`."""

    name: str
    family: str
    arch: str = "x86_64"
    version: str | None = None
    kernel: str
    initrd: list[str] = []


class MachineDocument(Document):
    """Key: the machine's name. Everything that is to be done for it, with all inheritance resolved."""

    name: str
    macs: list[str]
    uuid: str | None = None
    address: IPv4Address | None = None
    netboot: Literal["install", "disk", "deny"] = "disk"
    boot_loader: BootLoader = "auto"
    profile: str | None = None
    answers: str | None = None  # the answer file's template
    image: ImageDocument | None = None
    kernel_options: list[str] = []
    variables: dict[str, Any] = {}
    tags: dict[str, str] = {}
    install: InstallDocument | None = None  # present exactly where netboot is "install"


class LeaseDocument(Document):
    """Key: the address. Which machine holds it, so that a file's fetch can be told of the right machine."""

    ip: IPv4Address
    mac: str
    subnet: str
    machine: str | None = None
    expires: datetime


class BootFilesDocument(Document):
    """Key: the machine's name. The rendered boot configurations that tftp serves, by path.

    `files` holds the configuration of this machine by every path that its loaders may ask for, except those by
    address: `by_address` is served for pxelinux.cfg/<IP in hex> and grub.cfg-<IP in hex>.
    """

    machine: str
    macs: list[str]
    address: IPv4Address | None = None
    install_id: str | None = None
    boots: Literal["install", "disk"] = "disk"
    files: dict[str, str] = Field(default_factory=dict)
    by_address: dict[str, str] = Field(default_factory=dict)  # "pxelinux" | "grub" -> text
    kernel: str | None = None  # the path, as tftp serves it, that means kernel.fetched
    initrd: list[str] = []
