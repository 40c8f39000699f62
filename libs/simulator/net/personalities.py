"""What each kind of DHCP client says of itself, as captured from real ones: the only table of it here."""

from dataclasses import dataclass, field, replace
from typing import Literal

ClientId = Literal["none", "mac", "duid"]

_PXE_ROM = (1, 2, 3, 4, 5, 6, 11, 12, 13, 15, 16, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67)
_PXE_VENDOR = (128, 129, 130, 131, 132, 133, 134, 135)
_EDK2 = (1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59, 60, 66, 67, 97)
_IPXE = (1, 3, 6, 7, 12, 15, 17, 26, 43, 60, 66, 67, 119, *_PXE_VENDOR, 175, 203)
# iPXE's own sub-options of 175: its card on the PCI bus, its version, and one octet for each feature of its build.
_IPXE_FEATURES = bytes.fromhex("b105011af41000eb03010000170101150101130101110101270101180101210101220101")


@dataclass(frozen=True)
class Personality:
    """The options of one kind of client; None where it sends none."""

    name: str
    parameters: tuple[int, ...]
    vendor_class: str | None = None
    user_class: bytes | None = None
    architecture: int | None = None  # option 93
    undi: tuple[int, int] = (2, 1)  # option 94: the version of its network interface
    sizes: tuple[int, int] = (1472, 1472)  # option 57 in DISCOVER and in REQUEST
    client_id: ClientId = "none"
    uuid: bool = False  # option 97
    broadcast: bool = False
    host_name: bool = False  # option 12
    extra: dict[int, bytes] = field(default_factory=dict)

    @property
    def boots(self) -> bool:
        """Whether it needs a boot program's name."""
        return self.architecture is not None


PXE_ROM = Personality(
    "PXE ROM",
    parameters=(*_PXE_ROM, *_PXE_VENDOR),
    vendor_class="PXEClient:Arch:00000:UNDI:002001",
    architecture=0,
    sizes=(1260, 1260),
    uuid=True,
    broadcast=True,
)
EDK2 = Personality(
    "UEFI",
    # EDK2 forgets to fill the last octet of its list; servers must not mind.
    parameters=(*_EDK2, *_PXE_VENDOR, 223),
    vendor_class="PXEClient:Arch:00007:UNDI:003000",
    architecture=7,
    undi=(3, 0),
    sizes=(1472, 65280),
    uuid=True,
    broadcast=True,
)
IPXE = Personality(
    "iPXE",
    parameters=_IPXE,
    vendor_class="PXEClient:Arch:00000:UNDI:002001",
    user_class=b"iPXE",
    architecture=0,
    client_id="mac",
    uuid=True,
    extra={175: _IPXE_FEATURES},
)
IPXE_EFI = replace(IPXE, vendor_class="PXEClient:Arch:00007:UNDI:003010", architecture=7, undi=(3, 16))
ANACONDA = Personality(
    "Anaconda",
    parameters=(1, 28, 2, 121, 15, 6, 12, 40, 41, 42, 26, 119, 3),
    vendor_class="anaconda-Linux 5.14.0-503.14.1.el9_5.x86_64 x86_64",
    client_id="mac",
)
DEBIAN_INSTALLER = Personality(
    "Debian installer",
    parameters=(1, 3, 6, 12, 15, 28, 42, 54, 67),
    vendor_class="d-i",
    sizes=(576, 576),
    client_id="mac",
)
SYSTEMD = Personality(
    "installed system",
    parameters=(1, 3, 6, 12, 15, 26, 33, 42, 119, 120, 121),
    client_id="duid",
    host_name=True,
)
