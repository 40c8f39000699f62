"""Which boot program a client is given, and where from: pure functions over the table of libs.wire.pxe."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from libs.desired import BootLoader, MachineDocument, SubnetDocument
from libs.mac import dashed
from libs.wire.dhcp_options import Option
from libs.wire.pxe import BOOT_AT_ONCE, HTTP_CLASS, PXE_CLASS, Architecture, Client

PXELINUX = "pxelinux.0"  # and lpxelinux.0
FILE_FIELD = 127  # octets of a file name that the `file` field holds, its zero octet left aside


# Options 60 and 43 together, or neither: 60 alone makes EDK2 ask a boot server on port 4011.
_PXE_OPTIONS: Mapping[int, bytes] = {Option.VENDOR_CLASS: PXE_CLASS.encode(), Option.VENDOR_SPECIFIC: BOOT_AT_ONCE}


class BootProgram(NamedTuple):
    """What to boot. `file` is a path on the TFTP server `server`, or a URL; `options` are those that go with it."""

    server: IPv4Address
    file: str
    options: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class KickstartAddress:
    """Where machines find the kickstart service: `url` as configured, else `port` on the address that they reach."""

    url: str = ""
    host: str = ""
    port: int = 8081

    def towards(self, local: IPv4Address) -> str:
        """The URL without a slash at its end, for a client that reaches us at `local`."""
        return self.url.rstrip("/") or f"http://{self.host or local}:{self.port}"


def boot_program(
    client: Client,
    machine: MachineDocument | None,
    subnet: SubnetDocument,
    kickstart: KickstartAddress,
    local: IPv4Address,
    mac: str | None,
) -> BootProgram | None:
    """The boot program of a machine; None for whoever is to get no boot information.

    That is: machines that nobody registered or that may not boot from the network, clients that do not ask for a
    boot program (installers, operating systems), and firmware of an architecture that the table does not know.
    """
    if machine is None or mac is None or machine.netboot == "deny" or not client.boots or not client.architecture:
        return None
    wanted = boot_loader(machine, subnet)
    server = subnet.next_server or local
    if client.kind == "ipxe" and not _leaves_ipxe(client.architecture, wanted):
        # The script, never the iPXE binary again: that would load itself for ever.
        return BootProgram(server, f"{kickstart.towards(local)}/boot/ipxe/{dashed(mac)}", {})
    loader = client.architecture.loaders.get(wanted, client.architecture.loaders["auto"])
    if client.kind == "http":
        # UEFI takes an answer for an HTTP boot offer by this class alone (UEFI 2.10 section 24.7.3.1).
        return BootProgram(
            server, f"{kickstart.towards(local)}/boot/{loader}", {Option.VENDOR_CLASS: HTTP_CLASS.encode()}
        )
    vendor = _PXE_OPTIONS if client.kind == "pxe" else {}
    return BootProgram(server, loader, {**vendor, **_of_loader(loader, mac)})


def _of_loader(loader: str, mac: str) -> Mapping[int, bytes]:
    """What the loader itself reads of the answer: PXELINUX, where its configuration is (RFC 5071 section 4).

    It then asks for that before anything else. No path prefix (210): the folder that the loader came from is right.
    """
    if not loader.endswith(PXELINUX):
        return {}
    return {Option.PXELINUX_CONFIG_FILE: f"pxelinux.cfg/01-{dashed(mac)}".encode()}


def boot_loader(machine: MachineDocument, subnet: SubnetDocument) -> BootLoader:
    """The boot loader that is asked for: the machine's, unless it leaves the choice to its subnet."""
    return subnet.boot_loader if machine.boot_loader == "auto" else machine.boot_loader


def _leaves_ipxe(architecture: Architecture, wanted: BootLoader) -> bool:
    """Whether an iPXE client is sent on to another loader, because that one is named and runs there."""
    return wanted not in ("auto", "ipxe") and wanted in architecture.loaders
