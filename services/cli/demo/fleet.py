"""The demo's fleet: one subnet on loopback, one image, two profiles, and as many machines as are asked for."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from libs.simulator.fleet import mixed
from libs.simulator.options import Firmware, MachineSpec
from services.cli.demo.stock import IMAGE

NETWORK = IPv4Network("127.77.0.0/16")
RELAY = IPv4Address("127.77.0.1")
FIRST_RESERVED, LAST_RESERVED = IPv4Address("127.77.1.0"), IPv4Address("127.77.64.255")
POOL = "127.77.128.0-127.77.255.254"
MOST = 4000
MIX = {Firmware.BIOS: 1, Firmware.UEFI: 1, Firmware.IPXE: 1}
PER_RACK = 24


def machines(count: int) -> list[MachineSpec]:
    """The machines to simulate, their firmware mixed."""
    width = max(2, len(str(count)))
    specs = mixed(count, MIX)
    return [
        MachineSpec(spec.mac, name=f"node{number:0{width}}", firmware=spec.firmware, seed=spec.seed)
        for number, spec in enumerate(specs, start=1)
    ]


def declaration(specs: Sequence[MachineSpec]) -> dict[str, Any]:
    """The same as an operator would declare it. Every other machine has a reserved address, the rest use the pool."""
    return {
        "subnets": [
            {
                "name": "demo",
                "cidr": str(NETWORK),
                "pool": POOL,
                "gateway": str(RELAY),
                "dns": [str(RELAY)],
                "domain": "demo.example",
                "lease_time": "1h",
            }
        ],
        "images": [
            {
                "name": IMAGE,
                "family": "redhat",
                "kernel": "images/pxeboot/vmlinuz",
                "initrd": ["images/pxeboot/initrd.img"],
            }
        ],
        "profiles": [
            {"name": "web", "image": IMAGE, "answers": "redhat.ks.j2", "variables": {"disk": "vda"}},
            {"name": "store", "image": IMAGE, "answers": "redhat.ks.j2", "variables": {"disk": "nvme0n1"}},
        ],
        "machines": [_machine(number, spec) for number, spec in enumerate(specs)],
    }


def _machine(number: int, spec: MachineSpec) -> dict[str, Any]:
    reserved = {"address": str(FIRST_RESERVED + number)} if number % 2 else {}
    return {
        "name": spec.name,
        "macs": [spec.mac],
        "profile": "store" if number % 8 == 7 else "web",
        "tags": {"rack": f"r{number // PER_RACK + 1}", "firmware": str(spec.firmware)},
        **reserved,
    }
