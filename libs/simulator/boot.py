"""What a boot loader decides, and what it sees of the machine that it runs on."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal
from uuid import UUID

Platform = Literal["pcbios", "efi"]

_LOADER_ON_DISK = re.compile(r"/efi/(boot|[a-z]+)/(boot|shim|grub)(x64|aa64|ia32)?\.efi")


@dataclass(frozen=True)
class Linux:
    """A kernel is in memory, with its command line and so many initial ram disks."""

    command_line: str
    initrds: int = 0


@dataclass(frozen=True)
class LocalDisk:
    """The firmware or the loader turns to the disk; `how` names the command that said so."""

    how: str


@dataclass(frozen=True)
class Program:
    """Another boot program is started: a path on the TFTP server, or a URL. `loaded`: it is in memory already."""

    path: str
    loaded: bool = False


Next = Linux | LocalDisk | Program


@dataclass(frozen=True)
class Identity:
    """What a machine is before anybody tells it anything."""

    mac: str
    uuid: UUID
    name: str = ""
    platform: Platform = "pcbios"


@dataclass
class Disk:
    """A disk that is empty until an installer has written it."""

    installed: bool = False
    # What was confirmed to the installer when it said that it was done: from then on another install is a fault.
    confirmed: bool = field(default=False)

    def has(self, path: str) -> bool:
        """Is this a file that an installed system has for its firmware to start?"""
        return self.installed and _LOADER_ON_DISK.fullmatch(path.lower()) is not None


@dataclass(frozen=True)
class Lease:
    """What DHCP told the machine. `boot_file` is a path, or a URL where the server names one."""

    address: IPv4Address
    server_identifier: IPv4Address
    next_server: IPv4Address
    boot_file: str = ""
    seconds: int = 0
    options: dict[int, bytes] = field(default_factory=dict)
