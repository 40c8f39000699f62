"""The simulated machines against the real data plane: dhcp, tftp and kickstart behind a bus of the test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from libs.bus import Bus
from libs.desired import (
    BOOTFILES,
    MACHINES,
    SUBNETS,
    AddressRange,
    BootLoader,
    ImageDocument,
    InstallDocument,
    MachineDocument,
    SubnetDocument,
)
from libs.events import BootconfigFetched, TransferFailed
from libs.settings import Settings
from libs.simulator.fleet import simulate
from libs.simulator.options import Abort, Firmware, GrubBuild, MachineSpec, Misbehaviour, Target, Timing
from libs.simulator.stages import Outcome, Result, Stage
from services.dhcp.service import dhcp
from services.kickstart.service import kickstart
from services.tftp.service import tftp
from tests.support.running import Recorder, bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

RELAY = IPv4Address("127.77.0.1")
SUBNET = SubnetDocument(
    name="rack1",
    cidr=IPv4Network("127.77.0.0/16"),
    pools=[AddressRange(first=IPv4Address("127.77.1.1"), last=IPv4Address("127.77.1.250"))],
    gateway=RELAY,
    dns=[RELAY],
    domain="lab.example",
)
LOADERS = ("pxelinux.0", "lpxelinux.0", "ldlinux.c32", "shimx64.efi", "grubx64.efi", "undionly.kpxe", "ipxe.efi")
PATIENT = replace(Timing(pace=0.1), callback_tries=20)


@dataclass
class Deployment:
    """The services' addresses, the bus, and the tape of its events."""

    bus: Bus
    tape: Recorder
    target: Target
    kickstart: str

    async def order(self, spec: MachineSpec, family: str = "redhat", loader: BootLoader = "auto") -> None:
        """What inventory would write for a machine that is to be installed; waits until its boot files are there."""
        variables = {"mirror_host": self.kickstart, "mirror_directory": "/images/mini"} if family == "debian" else {}
        document = MachineDocument(
            name=spec.name,
            macs=[spec.mac],
            netboot="install",
            boot_loader=loader,
            image=ImageDocument(name="mini", family=family, kernel="boot/vmlinuz", initrd=["boot/initrd.img"]),
            variables=variables,
            install=InstallDocument(
                id=f"install-{spec.name}", token=f"token-{spec.name}", ordered_at=datetime.now(UTC)
            ),
        )
        await self.bus.put(MACHINES, spec.name, document.model_dump(mode="json"))

        async def rendered() -> bool:
            return spec.name in await self.bus.get_all(BOOTFILES)

        await until(rendered, f"the boot files of {spec.name}")

    async def power_on(self, *machines: MachineSpec) -> list[Result]:
        """Simulate machines against the services."""
        return await simulate(self.target, machines, report=lambda _: None, timing=PATIENT, limit=60)

    async def told(self, spec: MachineSpec, *types: str) -> list[str]:
        """The events of a machine's life, once these are among them."""

        def life() -> list[str]:
            seen = [event.TYPE for event in self.tape.events if event.mac == spec.mac]
            return seen if set(types) <= set(seen) else []

        return await until(life, f"{spec.name}: {', '.join(types)}")


def deploy_files(settings: Settings) -> None:
    """Stand-ins for the boot loaders, and an image."""
    files = {f"loaders/{name}": name.encode() * 3000 for name in LOADERS}
    files |= {f"images/mini/boot/{name}": bytes(200_000) for name in ("vmlinuz", "initrd.img")}
    files |= {"images/mini/images/install.img": bytes(300_000), "images/mini/dists/stable/Release": b"Suite: stable\n"}
    for path, content in files.items():
        place = settings.data / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@asynccontextmanager
async def deployment(folder: Path) -> AsyncIterator[Deployment]:
    settings = settings_in(folder)
    deploy_files(settings)
    async with nats_server(settings), recorder(settings) as tape, bus_of(settings) as bus:
        await bus.wait_connected(30)
        await bus.put(SUBNETS, SUBNET.name, SUBNET.model_dump(mode="json"))
        async with service("kickstart", kickstart, settings) as web:
            settings = settings.model_copy(update={"kickstart": settings.kickstart.model_copy(update={"listen": web})})
            async with service("tftp", tftp, settings) as files, service("dhcp", dhcp, settings) as leases:
                target = Target(IPv4Address("127.0.0.1"), RELAY, leases.port, files.port)
                yield Deployment(bus, tape, target, str(web))


CASES = [
    (Firmware.BIOS, "redhat", "auto", "pxelinux.fetched"),
    (Firmware.BIOS, "debian", "lpxelinux", "pxelinux.fetched"),
    (Firmware.BIOS, "redhat", "ipxe", "ipxe.fetched"),
    (Firmware.UEFI, "redhat", "auto", "shim.fetched"),
    (Firmware.UEFI, "debian", "grub", "grub.fetched"),
    (Firmware.UEFI, "redhat", "ipxe", "ipxe.fetched"),
    (Firmware.IPXE, "redhat", "auto", "kernel.fetched"),
    (Firmware.IPXE, "debian", "pxelinux", "pxelinux.fetched"),
]


@pytest.mark.parametrize(("firmware", "family", "loader", "first"), CASES)
async def test_a_machine_installs_itself_and_boots_its_disk(
    tmp_path: Path, firmware: Firmware, family: str, loader: BootLoader, first: str
) -> None:
    spec = MachineSpec("52:54:00:77:00:01", "node01", firmware, tries=1)
    async with deployment(tmp_path) as lab:
        await lab.order(spec, family, loader)
        (result,) = await lab.power_on(spec)
        assert (result.outcome, result.reason, result.faults) == (Outcome.BOOTED, "", ())
        life = await lab.told(spec, first, "install.done", "kernel.fetched", "initrd.fetched", "answers.fetched")
        assert life.count("install.done") == life.count("install.started") == life.count("answers.fetched") == 1
        assert life.index("kernel.fetched") < life.index("initrd.fetched") < life.index("answers.fetched")
        assert life.index("answers.fetched") < life.index("install.started") < life.index("install.done")
        await until(lambda: len(lab.tape.of(BootconfigFetched)) == 2, "both boots fetched a configuration")
        assert [lab.tape.of(BootconfigFetched, boots=boots) != [] for boots in ("install", "disk")] == [True, True]


async def test_what_misbehaves_is_seen_by_the_services_and_survived(tmp_path: Path) -> None:
    """Several machines at once, each with a fault of its own; the events tell it apart."""
    faults = {
        "aborts": Misbehaviour(abort=Abort(Stage.INITRD, 50)),
        "cycles": Misbehaviour(power_cycle_at=Stage.STARTED),
        "lossy": Misbehaviour(loss=0.02),
        "repeats": Misbehaviour(callbacks=2),
        "slow": Misbehaviour(slow=0.05),
    }
    specs = [
        MachineSpec(
            f"52:54:00:77:01:{number:02x}", name, list(Firmware)[number % 3], misbehaviour=fault, tries=3, seed=5
        )
        for number, (name, fault) in enumerate(faults.items(), 1)
    ]
    async with deployment(tmp_path) as lab:
        for spec in specs:
            await lab.order(spec)
        results = await lab.power_on(*specs)
        assert [(result.name, result.reason) for result in results if result.outcome is not Outcome.BOOTED] == []
        for spec in specs:
            life = await lab.told(spec, "install.done")
            assert life.count("install.done") == life.count("install.started") == 1
        await until(lambda: lab.tape.of(TransferFailed, reason="aborted"), "the transfer that was broken off")


async def test_an_installer_that_fails_and_one_that_never_calls_back(tmp_path: Path) -> None:
    fails = MachineSpec("52:54:00:77:02:01", "fails", misbehaviour=Misbehaviour(fails="no disk found"))
    silent = MachineSpec("52:54:00:77:02:02", "silent", misbehaviour=Misbehaviour(callbacks=0))
    rival = MachineSpec(
        "52:54:00:77:02:03", "rival", misbehaviour=Misbehaviour(foreign_server=IPv4Address("127.99.0.1")), tries=1
    )
    async with deployment(tmp_path) as lab:
        for spec in (fails, silent, rival):
            await lab.order(spec)
        results = {result.name: result for result in await lab.power_on(fails, silent, rival)}
        assert (results["fails"].outcome, results["fails"].reason) == (Outcome.FAILED, "Anaconda: no disk found")
        assert results["silent"].outcome is Outcome.REINSTALLED
        await lab.told(fails, "install.failed")
        await lab.told(rival, "rival.detected")
        assert "install.done" not in await lab.told(silent, "answers.fetched")


async def test_many_machines_of_every_kind(tmp_path: Path) -> None:
    kinds = list(Firmware)
    specs = [
        MachineSpec(f"52:54:00:77:03:{number:02x}", f"node{number:02}", kinds[number % 3], GrubBuild(build))
        for number, build in enumerate(["debian", "redhat"] * 12)
    ]
    async with deployment(tmp_path) as lab:
        for spec in specs:
            await lab.order(spec)
        results = await lab.power_on(*specs)
        assert [result.reason for result in results if not result.ok] == []
        assert [result.faults for result in results if result.faults] == []
        assert len({result.address for result in results}) == len(specs)
        for spec in specs:
            life = await lab.told(spec, "install.done")
            assert life.count("install.done") == 1
