"""Real machines stop, each at another milestone and for another reason, and `kickfleet why` names it.

One deployment has them all; a few run at a time. Each has its own fault, which comes after its install was ordered,
as faults do. The state in which a machine is to stop has a short limit, so that the install becomes `stalled` there.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.deployment import Deployment, fleet, wait
from tests.firmware.image import DISK, INITRD, KERNEL, MODULES, initramfs
from tests.firmware.lab import SERVER, Lab
from tests.firmware.machine import Firmware, Machine
from tests.firmware.packages import kernel

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(600)]

SECONDS = 300.0  # to reach the last milestone under emulation; about 30 when nothing else runs
AT_ONCE = 5  # machines; more of them only take the processors from one another
NOT_A_LOADER = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp back: starts, and does nothing ever after

EXTENDED = '{% extends "builtin/redhat.ks.j2" %}\n'
TEMPLATES = {
    "hangs-in-pre.ks.j2": EXTENDED + "{% block system %}{{ super() }}\n%pre\nsleep 86400\n%end\n{% endblock %}\n",
    "hangs-in-post.ks.j2": EXTENDED + "{% block post %}\nsleep 86400\n{% endblock %}\n",
}

Running = tuple[Deployment, dict[str, Machine]]
Fault = Callable[["Stop", Deployment], None]


@dataclass(frozen=True)
class Stop:
    """A machine that goes as far as `state`, and what must be said of it."""

    name: str
    state: str
    code: str
    words: str  # in the likely cause
    fault: Fault = lambda _stop, _deployment: None
    firmware: Firmware = Firmware.BIOS
    boot_loader: str = "auto"
    answers: str = "redhat.ks.j2"
    kernel_options: tuple[str, ...] = ()
    powered: bool = True

    @property
    def number(self) -> int:
        return STOPS.index(self) + 1

    @property
    def mac(self) -> str:
        return f"52:54:00:00:01:{self.number:02x}"

    @property
    def address(self) -> str:
        return f"10.77.0.{10 + self.number}"


def offers_are_lost(stop: Stop, deployment: Deployment) -> None:
    deployment.lab.misdirect(stop.mac)


def answers_are_lost(stop: Stop, deployment: Deployment) -> None:
    deployment.lab.ip("route", "add", "unreachable", stop.address)


def without(path: str) -> Fault:
    def fault(stop: Stop, deployment: Deployment) -> None:
        (deployment.data / "images" / stop.name / path).unlink()

    return fault


def replaced(path: str, make: Callable[[], bytes]) -> Fault:
    def fault(stop: Stop, deployment: Deployment) -> None:
        file = deployment.data / "images" / stop.name / path
        file.unlink()
        file.write_bytes(make())

    return fault


def without_network_driver() -> bytes:
    return initramfs(kernel(), [name for name in MODULES if name != "virtio_net"])


def empty_disk() -> bytes:
    return bytes(1 << 20)


UEFI = Firmware.UEFI
STOPS = (
    Stop("off", "ordered", "no-dhcp", "it is off", powered=False),
    Stop("deaf", "offered", "offer-not-accepted", "does not arrive", offers_are_lost),
    Stop("walled-in", "leased", "transfer-stopped", "shimx64.efi", answers_are_lost, UEFI),
    Stop("wrong-loader", "bootloader", "no-configuration", "does not run", boot_loader="pxelinux"),
    Stop("no-kernel", "configured", "kernel-missing", KERNEL, without(KERNEL), UEFI),
    Stop("no-initrd", "kernel", "initrd-missing", INITRD, without(INITRD), UEFI),
    Stop("no-driver", "initrd", "installer-no-network", "never asked", replaced(INITRD, without_network_driver)),
    Stop(
        *("wrong-answers", "initrd", "answers-unreachable", "did not fetch its answer file"),
        kernel_options=(f"inst.ks=http://{SERVER}:8081/i/of-another-install/ks.cfg",),
    ),
    Stop("hangs-in-pre", "answers", "installer-silent", "did not report that it began", answers="hangs-in-pre.ks.j2"),
    Stop("hangs-in-post", "installing", "installer-silent", "last heard", answers="hangs-in-post.ks.j2"),
    Stop("empty-disk", "installed", "boots-network-again", "told to boot its disk", replaced(DISK, empty_disk)),
)


@pytest.fixture(scope="module")
def running(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    loaders = tmp_path_factory.mktemp("loaders")
    (loaders / "pxelinux.0").write_bytes(NOT_A_LOADER)
    with Lab(tmp_path_factory.mktemp("why")) as lab:
        deployment = Deployment(lab, loaders, TEMPLATES)
        deployment.start()
        for stop in STOPS:
            deployment.add_image(stop.name, tree)
        names, profiles, declared = zip(*((stop.name, _profile(stop), _machine(stop)) for stop in STOPS), strict=True)
        deployment.apply(fleet(list(profiles), list(declared), list(names)))
        deployment.install(",".join(names))
        machines = {stop.name: Machine(lab, stop.name, stop.mac, stop.firmware) for stop in STOPS}
        for stop in STOPS:
            stop.fault(stop, deployment)
        yield deployment, machines


def _profile(stop: Stop) -> dict[str, Any]:
    return {
        "name": stop.name,
        "image": stop.name,
        "answers": stop.answers,
        "kernel_options": list(stop.kernel_options),
        "variables": {"disk": "vda"},
        "limits": {stop.state: "5s"},
        "boot_loader": stop.boot_loader,
    }


def _machine(stop: Stop) -> dict[str, Any]:
    return {"name": stop.name, "macs": [stop.mac], "address": stop.address, "profile": stop.name}


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: f"{stop.state}-{stop.name}")
def test_why_names_the_milestone_and_the_cause(running: Running, stop: Stop) -> None:
    deployment, machines = running
    for near in STOPS[stop.number - 1 :][:AT_ONCE]:
        if near.powered:
            machines[near.name].power_on()
    seen: dict[str, Any] = {}

    def diagnosed() -> bool:
        seen.update(deployment.get(f"/v1/machines/{stop.name}/diagnosis"))
        return (seen["state"], seen["milestone"], seen["code"]) == ("stalled", stop.state, stop.code)

    try:
        wait(diagnosed, f"{stop.name} is known to have stopped at {stop.state} for {stop.code}", SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; the last diagnosis was {json.dumps(seen, indent=2)}") from None
    assert stop.words in seen["cause"]
    assert seen["overdue"]
    told = json.loads(deployment.run("why", stop.name, "--json"))
    assert (told["milestone"], told["cause"], told["next_step"]) == (stop.state, seen["cause"], seen["next_step"])
    shown = " ".join(deployment.run("why", stop.name).split())
    assert stop.state in shown
    assert stop.words.split()[0] in shown
    machines[stop.name].power_off()
