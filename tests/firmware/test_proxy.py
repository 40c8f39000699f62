"""Real boot firmware beside another DHCP server: udhcpd gives the address, kickfleet the boot program.

The other server names ours as the next one (siaddr): Debian's GRUB goes by that answer alone, and not by the proxy's.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.firmware import packages
from tests.firmware.deployment import Deployment, wait
from tests.firmware.lab import BRIDGE, CIDR, SERVER, Lab
from tests.firmware.machine import Firmware, Machine
from tests.support import needs

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(300)]

SECONDS = 150.0
OTHER = "10.77.0.3"
ADDRESS = IPv4Address("10.77.0.150")
CONFIG = f"""
start {ADDRESS}
end {ADDRESS + 10}
interface eth0
siaddr {SERVER}
lease_file {{folder}}/udhcpd.leases
pidfile {{folder}}/udhcpd.pid
option subnet 255.255.255.0
"""
UEFI, BIOS = "52:54:00:00:00:1a", "52:54:00:00:00:1b"


@contextmanager
def other_server(lab: Lab) -> Iterator[None]:
    """udhcpd in a namespace of its own, on a cable to the lab's bridge."""
    program = needs.program("busybox", "busybox-static")
    config = lab.folder / "udhcpd.conf"
    config.write_text(CONFIG.format(folder=lab.folder))
    (lab.folder / "udhcpd.leases").touch()
    neighbour = f"{lab.namespace}-n"
    _ip("netns", "add", neighbour)
    try:
        ends = ["other", "netns", lab.namespace, "type", "veth", "peer", "name", "eth0", "netns", neighbour]
        _ip("link", "add", *ends)
        lab.ip("link", "set", "other", "master", BRIDGE, "up")
        _ip("-n", neighbour, "address", "add", f"{OTHER}/24", "dev", "eth0")
        _ip("-n", neighbour, "link", "set", "eth0", "up")
        inside = ["ip", "netns", "exec", neighbour]
        lab.start("udhcpd", [*inside, program, "udhcpd", "-f", str(config)])
        yield
    finally:
        _ip("netns", "delete", neighbour)


def test_firmware_boots_what_the_proxy_names(tmp_path: Path) -> None:
    """UEFI fetches shim and asks for its own configuration; the BIOS machine's iPXE fetches its script."""
    packages.require()
    with Lab(tmp_path) as lab, other_server(lab):
        deployment = Deployment(lab)
        deployment.start()
        deployment.apply(
            {
                "subnets": [{"name": "lab", "cidr": CIDR, "interface": BRIDGE, "mode": "proxy"}],
                "machines": [{"name": "uefi", "macs": [UEFI]}, {"name": "bios", "macs": [BIOS]}],
            }
        )
        machines = [Machine(lab, "uefi", UEFI, Firmware.UEFI), Machine(lab, "bios", BIOS, Firmware.BIOS)]
        for machine in machines:
            machine.power_on()
        wait(lambda: _came(deployment, "uefi", "bootconfig.fetched"), "GRUB has its configuration", SECONDS)
        wait(lambda: _came(deployment, "bios", "bootconfig.fetched"), "iPXE has its script", SECONDS)
        assert _came(deployment, "uefi", "lease.offered")
        assert not _came(deployment, "uefi", "lease.acknowledged"), "a proxy leases nothing"


def _came(deployment: Deployment, machine: str, kind: str) -> bool:
    return bool(deployment.get(f"/v1/events?machine={machine}&type={kind}")["items"])


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
