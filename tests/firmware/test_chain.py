"""Real boot firmware installs itself through the real services and comes up from its own disk.

All machines run at once, each with its own way from the first DHCP packet to the installer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.deployment import Deployment, fleet, wait
from tests.firmware.lab import Lab
from tests.firmware.machine import Firmware, Machine

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(600)]

SECONDS = 300.0  # for a whole install under emulation, three at once; about 60 when nothing else runs


@dataclass(frozen=True)
class Chain:
    """A way to boot: what the machine is, what it is told to boot, and what must have reached it by then."""

    name: str
    mac: str
    firmware: Firmware
    boot_loader: str
    milestones: tuple[tuple[str, str], ...]  # state, the type of the event that led to it


BEFORE = (("offered", "lease.offered"), ("leased", "lease.acknowledged"))
AFTER = (
    ("configured", "bootconfig.fetched"),
    ("kernel", "kernel.fetched"),
    ("initrd", "initrd.fetched"),
    ("answers", "answers.fetched"),
    ("installing", "install.started"),
    ("installed", "install.done"),
    ("booted", "lease.acknowledged"),
)
Running = tuple[Deployment, dict[str, Machine]]
CHAINS = (
    Chain(
        "ipxe-to-pxelinux",
        "52:54:00:00:00:0a",
        Firmware.BIOS,
        "pxelinux",
        (*BEFORE, ("bootloader", "pxelinux.fetched"), *AFTER),
    ),
    # The loader is in the card's ROM already: the first thing it fetches is its script.
    Chain("ipxe-script", "52:54:00:00:00:0b", Firmware.BIOS, "auto", (*BEFORE, *AFTER)),
    Chain(
        "uefi-shim-grub",
        "52:54:00:00:00:0c",
        Firmware.UEFI,
        "auto",
        (*BEFORE, ("bootloader", "shim.fetched"), *AFTER),
    ),
)


@pytest.fixture(scope="module")
def running(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Lab(tmp_path_factory.mktemp("chain")) as lab:
        deployment = Deployment(lab)
        deployment.start()
        deployment.add_image("mini", tree)
        declared = [
            {"name": chain.name, "macs": [chain.mac], "profile": "mini", "boot_loader": chain.boot_loader}
            for chain in CHAINS
        ]
        profile = {"name": "mini", "image": "mini", "answers": "redhat.ks.j2", "variables": {"disk": "vda"}}
        deployment.apply(fleet([profile], declared, ["mini"]))
        machines = {chain.name: Machine(lab, chain.name, chain.mac, chain.firmware) for chain in CHAINS}
        deployment.install("all")
        for machine in machines.values():
            machine.power_on()
        yield deployment, machines


@pytest.fixture(params=CHAINS, ids=lambda chain: chain.name)
def chain(request: pytest.FixtureRequest) -> Chain:
    found: Chain = request.param
    return found


def test_a_machine_installs_itself_and_boots_its_disk(running: Running, chain: Chain) -> None:
    deployment, machine = running[0], running[1][chain.name]
    installed = machine.wait_for("mini: reboots", SECONDS)
    machine.wait_for("mini: the installed system is up", SECONDS, after=installed)
    timeline = wait(lambda: _ended(deployment, chain), f"{chain.name} is booted", 30)

    passed = [(state["state"], state["cause"]) for state in timeline["states"]]
    assert passed[1:] == list(chain.milestones), "each milestone once, in order"
    assert machine.text().count("mini: has written its disk") == 1, "it installed once"
    _check_events(timeline, chain)


def _ended(deployment: Deployment, chain: Chain) -> Any:
    items = deployment.get(f"/v1/installs?machine={chain.name}")["items"]
    if len(items) != 1 or items[0]["state"] != "booted":
        return None
    return deployment.get(f"/v1/installs/{items[0]['id']}/timeline")


def _check_events(timeline: dict[str, Any], chain: Chain) -> None:
    """What the timeline holds beyond the states: nothing twice, nothing of another machine, the way to the disk."""
    events = [item["event"] for item in timeline["items"]]
    assert len({event["id"] for event in events}) == len(events)
    assert {event["data"]["machine"] for event in events} == {chain.name}
    assert {event["data"]["mac"] for event in events} == {chain.mac}
    boots = [event["data"]["boots"] for event in events if event["type"].endswith("bootconfig.fetched")]
    assert boots == ["install", "disk"], "told to install once, then told to boot its disk"
    in_vain = [event for event in events if event["type"].endswith("transfer.failed") and "pxelinux.cfg" in str(event)]
    assert not in_vain, "PXELINUX asks first for what option 209 names"
