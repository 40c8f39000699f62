"""What a machine does from its power button to a kernel, or to its disk."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.simulator.boot import Disk, Identity, Lease, Linux, LocalDisk, Next, Program
from libs.simulator.errors import BootError, LeaseError, ReturnedError, TransferError
from libs.simulator.loaders import ipxe
from libs.simulator.loaders.environment import Environment
from libs.simulator.loaders.programs import startable
from libs.simulator.loaders.table import LOADERS
from libs.simulator.net.dhcp import DhcpClient
from libs.simulator.net.http import HttpClient
from libs.simulator.net.link import Link
from libs.simulator.net.personalities import EDK2, IPXE, IPXE_EFI, PXE_ROM, Personality
from libs.simulator.net.tftp import TftpClient
from libs.simulator.net.tftp_receiver import EDK2 as EDK2_HABIT
from libs.simulator.net.tftp_receiver import PXE_ROM as PXE_ROM_HABIT
from libs.simulator.net.tftp_receiver import Habit
from libs.simulator.options import Firmware, GrubBuild, Timing
from libs.simulator.stages import Stage

MAX_PROGRAMS = 8  # boot programs that start one another


@dataclass
class Computer:
    """The parts of one machine that firmware, loaders and installers use."""

    identity: Identity
    firmware: Firmware
    grub: GrubBuild
    disk: Disk
    link: Link
    dhcp: DhcpClient
    timing: Timing
    tftp_port: int
    reach: Callable[[Stage, str], Awaitable[None]]
    abort_at: Callable[[Stage | None], float | None]

    def environment(self, lease: Lease) -> Environment:
        """What a boot loader sees after this lease."""
        return Environment(
            identity=self.identity,
            lease=lease,
            disk=self.disk,
            tftp=TftpClient(lease.address, self.link, self.timing, self.tftp_port),
            http=self.http(lease, "iPXE/1.0.0+"),
            timing=self.timing,
            grub=self.grub,
            reach=self.reach,
            abort_at=self.abort_at,
        )

    def http(self, lease: Lease, agent: str) -> HttpClient:
        """An HTTP client at the leased address."""
        return HttpClient(lease.address, self.link, self.timing, agent)


async def boot(computer: Computer) -> Linux | LocalDisk:
    """From the firmware's first DISCOVER to what it starts in the end.

    Raises ReturnedError where the firmware turns to its next boot device, SimulationError where a machine stands still.
    """
    personality, habit = _START[computer.firmware]
    try:
        lease = await computer.dhcp.lease(personality)
        await computer.reach(Stage.LEASED, str(lease.address))
        await asyncio.sleep(computer.timing.scaled(computer.timing.firmware))
        env = computer.environment(lease)
        if computer.firmware is Firmware.IPXE:
            following = await ipxe.run(env, lease.boot_file)
        else:
            await env.load(lease.boot_file, habit, Stage.BOOTLOADER)
            following = Program(lease.boot_file, loaded=True)
    except (LeaseError, TransferError) as error:
        raise ReturnedError(str(error)) from error
    return await _programs(computer, env, following, habit)


async def _programs(computer: Computer, env: Environment, following: Next, habit: Habit) -> Linux | LocalDisk:
    """Start one boot program after the other until one of them starts something else."""
    for _ in range(MAX_PROGRAMS):
        if not isinstance(following, Program):
            return following
        if not following.loaded:
            await env.load(following.path, habit, Stage.BOOTLOADER)
        kind = startable(following.path, computer.identity.platform)
        if kind == "ipxe":
            env, following = await _ipxe(computer)
        else:
            run, habit = LOADERS[kind]
            following = await run(env, following.path)
    raise BootError(f"more than {MAX_PROGRAMS} boot programs start one another")


async def _ipxe(computer: Computer) -> tuple[Environment, Next]:
    """iPXE as a boot program: it asks for an address of its own, as iPXE."""
    personality = IPXE_EFI if computer.identity.platform == "efi" else IPXE
    lease = await computer.dhcp.lease(personality)
    env = computer.environment(lease)
    return env, await ipxe.run(env, lease.boot_file)


_START: dict[Firmware, tuple[Personality, Habit]] = {
    Firmware.BIOS: (PXE_ROM, PXE_ROM_HABIT),
    Firmware.UEFI: (EDK2, EDK2_HABIT),
    Firmware.IPXE: (IPXE, PXE_ROM_HABIT),
}
