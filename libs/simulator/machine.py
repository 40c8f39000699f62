"""One simulated machine: it is powered on, and its life goes as the deployment tells it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from libs.simulator import firmware
from libs.simulator.boot import Disk, Identity, Linux, LocalDisk
from libs.simulator.errors import BootError, ReturnedError, SimulationError
from libs.simulator.firmware import Computer
from libs.simulator.installers.installer import GaveUpError, Installer
from libs.simulator.installers.table import kind_of
from libs.simulator.net.dhcp import DhcpClient
from libs.simulator.net.link import Link
from libs.simulator.net.personalities import SYSTEMD
from libs.simulator.net.relay import Relay, Socket
from libs.simulator.options import Firmware, MachineSpec, Target, Timing
from libs.simulator.stages import Outcome, Progress, Result, Stage
from libs.simulator.texts import cmdline
from libs.wire.dhcp import Message


class _Stopped(Exception):
    """It was told to stop here."""


class _PowerCycled(Exception):
    """It was told to be switched off and on here."""


class _Reinstalled(Exception):
    """It was told to install itself though it has a system on its disk."""


@dataclass
class Machine:
    """Run it once. `report` is called for every stage and every fault, in the loop's thread; `clock` gives seconds."""

    spec: MachineSpec
    target: Target
    timing: Timing
    relay: Relay
    report: Callable[[Progress], None]
    clock: Callable[[], float]
    _stages: dict[Stage, float] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)
    _attempt: int = 0
    _cycled: bool = False
    _address: str | None = None

    def __post_init__(self) -> None:
        self._link = Link(self.spec.misbehaviour.loss, Random(f"{self.spec.seed}/{self.spec.mac}"))

    async def run(self) -> Result:
        """Power on, and on again after each failed boot, until the end. Never raises SimulationError."""
        chaddr = bytes.fromhex(self.spec.mac.replace(":", ""))
        try:
            outcome, reason = await self._lives(self._computer(self.relay.attach(chaddr, self._link)))
        finally:
            self.relay.detach(chaddr)
        return self.result(outcome, reason)

    def result(self, outcome: Outcome, reason: str) -> Result:
        """What there is to say of it so far."""
        return Result(
            mac=self.spec.mac,
            name=self.spec.title,
            outcome=outcome,
            reason=reason,
            attempts=self._attempt,
            address=self._address,
            stages=dict(self._stages),
            faults=tuple(self._faults),
            bytes=self._link.received,
        )

    @property
    def furthest(self) -> str:
        """The last stage that it reached."""
        return max(self._stages, key=lambda stage: stage.order, default="nothing")

    def _computer(self, socket: Socket) -> Computer:
        efi = self.spec.firmware is Firmware.UEFI
        identity = Identity(self.spec.mac, self.spec.smbios, self.spec.name, "efi" if efi else "pcbios")
        foreign = self.spec.misbehaviour.foreign_server
        return Computer(
            identity=identity,
            firmware=self.spec.firmware,
            grub=self.spec.grub,
            disk=Disk(self.spec.installed),
            link=self._link,
            dhcp=DhcpClient(socket, identity, self.timing, self._link.random, foreign, self._offered),
            timing=self.timing,
            tftp_port=self.target.tftp_port,
            reach=self._reach,
            abort_at=self._abort_at,
        )

    async def _lives(self, computer: Computer) -> tuple[Outcome, str]:
        """One power-on after the other."""
        failures = 0
        while True:
            self._attempt += 1
            try:
                await self._reach(Stage.POWERED, "")
                await self._life(computer)
                return Outcome.BOOTED, ""
            except _Stopped as stop:
                return Outcome.STOPPED, str(stop)
            except _Reinstalled as error:
                return Outcome.REINSTALLED, str(error)
            except _PowerCycled:
                self._cycled = True
            except GaveUpError as error:
                return Outcome.FAILED, str(error)
            except SimulationError as error:
                failures += 1
                self._fault(str(error))
                if failures >= self.spec.tries:
                    return Outcome.FAILED, str(error)
            await asyncio.sleep(self.timing.scaled(self.timing.restart))

    async def _life(self, computer: Computer) -> None:
        """From power-on to a running system; an installation has a reboot in the middle."""
        while True:
            started = await self._boot(computer)
            if isinstance(started, LocalDisk):
                await self._boot_disk(computer, started)
                return
            await self._install(computer, started)
            await asyncio.sleep(self.timing.scaled(self.timing.restart))

    async def _boot(self, computer: Computer) -> Linux | LocalDisk:
        try:
            return await firmware.boot(computer)
        except ReturnedError as error:
            if not computer.disk.installed:
                raise
            self._fault(str(error))
            return LocalDisk("the firmware's boot order")

    async def _boot_disk(self, computer: Computer, way: LocalDisk) -> None:
        if not computer.disk.installed:
            raise BootError(f"no bootable device: told to boot the disk ({way.how}), which is empty")
        lease = await computer.dhcp.lease(SYSTEMD)
        self._address = str(lease.address)
        await self._reach(Stage.BOOTED, str(lease.address))

    async def _install(self, computer: Computer, kernel: Linux) -> None:
        if not kernel.initrds:
            raise BootError("Kernel panic: VFS: Unable to mount root fs (the loader gave it no initial ram disk)")
        line = cmdline.parse(kernel.command_line)
        kind, url = kind_of(line)
        if computer.disk.installed:
            said = "its callback had said that it was done" if computer.disk.confirmed else "it never said it was done"
            raise _Reinstalled(f"told to install again though its disk has a system; {said}")
        lease = await computer.dhcp.lease(kind.personality)
        self._address = str(lease.address)
        await self._reach(Stage.INSTALLER, str(lease.address))
        installer = Installer(
            kind=kind,
            line=line,
            url=url,
            identity=computer.identity,
            http=computer.http(lease, kind.agent),
            timing=self.timing,
            misbehaviour=self.spec.misbehaviour,
            reach=self._reach,
        )
        try:
            await installer.run()
        finally:
            for fault in installer.faults:
                self._fault(fault)
        computer.disk.installed, computer.disk.confirmed = True, installer.confirmed
        await self._reach(Stage.INSTALLED, "")

    async def _offered(self, offer: Message) -> None:
        await self._reach(Stage.OFFERED, str(offer.yiaddr))

    async def _reach(self, stage: Stage, detail: str) -> None:
        """A stage is reached: told once, whatever boots follow. Raises what the machine was told to do here."""
        if stage not in self._stages:
            await asyncio.sleep(self.spec.misbehaviour.slow)
            self._stages[stage] = self.clock()
            self._report(stage, detail)
        if stage is self.spec.misbehaviour.stop_at:
            raise _Stopped(f"told to stop at {stage}")
        if stage is self.spec.misbehaviour.power_cycle_at and not self._cycled:
            raise _PowerCycled(stage)

    def _abort_at(self, stage: Stage | None) -> float | None:
        abort = self.spec.misbehaviour.abort
        due = abort is not None and stage is abort.stage and self._attempt <= abort.times
        return abort.percent if abort is not None and due else None

    def _fault(self, reason: str) -> None:
        self._faults.append(reason)
        self._report(None, reason)

    def _report(self, stage: Stage | None, detail: str) -> None:
        self.report(
            Progress(self.spec.mac, self.spec.title, self.clock(), stage=stage, detail=detail, attempt=self._attempt)
        )
