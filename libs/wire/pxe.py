"""What boot firmware says of itself, and the one table of what each kind of it boots.

Architectures and their numbers: option 93 (RFC 4578 section 2.1, IANA "Processor Architecture Types"). A client may
send several, its preferred one first; one that sends none is a BIOS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple
from uuid import UUID

from libs.wire import WireError
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import (
    Option,
    read_architectures,
    read_machine_identifier,
    read_text,
    read_user_classes,
)

PXE_CLASS = "PXEClient"
HTTP_CLASS = "HTTPClient"
IPXE_CLASS = b"iPXE"

# PXE 2.1 section 2.4.3: sub-option 6 (discovery control) with bit 3 set: boot the file named in this answer, and ask
# no boot server. Without it EDK2 takes option 60 as the announcement of a boot server on port 4011 (PXE-E16).
BOOT_AT_ONCE = bytes((6, 1, 8, 255))

ClientKind = Literal["pxe", "ipxe", "http", "other"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kind of firmware: its name in events, its numbers, and its boot program for each `boot_loader`.

    A boot loader that the row does not name is answered with the row's "auto". Firmware with `http` boots a URL.
    """

    name: str
    codes: tuple[int, ...]
    loaders: Mapping[str, str]
    http: bool = False


_BIOS = {"auto": "pxelinux.0", "pxelinux": "pxelinux.0", "lpxelinux": "lpxelinux.0", "ipxe": "undionly.kpxe"}
_X64 = {"auto": "shimx64.efi", "shim": "shimx64.efi", "grub": "grubx64.efi", "ipxe": "ipxe.efi"}
_IA32 = {"auto": "grubia32.efi", "grub": "grubia32.efi", "ipxe": "ipxe-ia32.efi"}
_ARM64 = {"auto": "shimaa64.efi", "shim": "shimaa64.efi", "grub": "grubaa64.efi", "ipxe": "ipxe-arm64.efi"}
_ARM32 = {"auto": "grubarm.efi", "grub": "grubarm.efi", "ipxe": "ipxe-arm32.efi"}
_RISCV64 = {"auto": "grubriscv64.efi", "grub": "grubriscv64.efi", "ipxe": "ipxe-riscv64.efi"}
_LOONGARCH64 = {"auto": "grubloongarch64.efi", "grub": "grubloongarch64.efi", "ipxe": "ipxe-loong64.efi"}

# Debian's signed GRUB finds neither its prefix nor an http module after HTTP boot; iPXE asks again as `iPXE`.
ARCHITECTURES = (
    Architecture("bios", (0,), _BIOS),
    Architecture("uefi-ia32", (6,), _IA32),
    Architecture("uefi-x64", (7, 9), _X64),
    Architecture("uefi-arm32", (10,), _ARM32),
    Architecture("uefi-arm64", (11,), _ARM64),
    Architecture("uefi-ia32-http", (15,), _IA32 | {"auto": _IA32["ipxe"]}, http=True),
    Architecture("uefi-x64-http", (16,), _X64 | {"auto": _X64["ipxe"]}, http=True),
    Architecture("uefi-arm32-http", (18,), _ARM32 | {"auto": _ARM32["ipxe"]}, http=True),
    Architecture("uefi-arm64-http", (19,), _ARM64 | {"auto": _ARM64["ipxe"]}, http=True),
    Architecture("uefi-riscv64", (27,), _RISCV64),
    Architecture("uefi-riscv64-http", (28,), _RISCV64 | {"auto": _RISCV64["ipxe"]}, http=True),
    Architecture("uefi-loongarch64", (39,), _LOONGARCH64),
    Architecture("uefi-loongarch64-http", (40,), _LOONGARCH64 | {"auto": _LOONGARCH64["ipxe"]}, http=True),
)
BIOS = ARCHITECTURES[0]
_BY_CODE = {code: row for row in ARCHITECTURES for code in row.codes}


class Client(NamedTuple):
    """What a DHCP client's options say it is.

    `kind`: ipxe (user class or encapsulated options of iPXE), http (UEFI HTTP boot), pxe (boot firmware), other (an
    installer or an operating system). `architecture` is None where its number is unknown, or where it boots nothing.
    """

    kind: ClientKind
    architecture: Architecture | None
    vendor_class: str
    identifier: bytes | None = None  # option 97 as it came

    @property
    def boots(self) -> bool:
        """Whether it asks for a boot program at all."""
        return self.kind != "other"

    @property
    def uuid(self) -> UUID | None:
        """The machine's SMBIOS UUID; None where it says none, or one that is no UUID."""
        try:
            return read_machine_identifier(self.identifier) if self.identifier else None
        except WireError:
            return None


def client_of(request: Message) -> Client:
    """Read what the client is. Options that are not values of their kind count as absent."""
    get = request.options.get
    says = _read(
        get(Option.VENDOR_CLASS, b""),
        get(Option.USER_CLASS, b""),
        Option.IPXE_ENCAPSULATED in request.options,
        get(Option.CLIENT_ARCHITECTURE),
    )
    return Client(*says, get(Option.CLIENT_MACHINE_IDENTIFIER))


@lru_cache(maxsize=1024)
def _read(
    vendor_class: bytes, user_class: bytes, ipxe_options: bool, architecture: bytes | None
) -> tuple[ClientKind, Architecture | None, str]:
    # Whole fleets say the same of themselves.
    text = read_text(vendor_class)
    kind = _kind(user_class, ipxe_options, text)
    return kind, None if kind == "other" else _architecture(architecture), text


def _kind(user_class: bytes, ipxe_options: bool, vendor_class: str) -> ClientKind:
    if ipxe_options or (user_class and IPXE_CLASS in read_user_classes(user_class)):
        return "ipxe"
    if vendor_class.startswith(HTTP_CLASS):
        return "http"
    if vendor_class.startswith(PXE_CLASS):
        return "pxe"
    return "other"


def _architecture(value: bytes | None) -> Architecture | None:
    """The first number that the table knows: the list is in the client's order of preference."""
    if not value:
        return BIOS
    try:
        codes = read_architectures(value)
    except WireError:
        return None
    return next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
