"""GRUB as a network loader: where it looks for its configuration, and what its devices are on this machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from libs.simulator.boot import LocalDisk, Next, Program
from libs.simulator.errors import BootError, ConfigurationError, SimulationError, TransferError
from libs.simulator.loaders.environment import Environment
from libs.simulator.loaders.grub_commands import COMMANDS
from libs.simulator.loaders.grub_menu import configure, start
from libs.simulator.loaders.grub_shell import Shell, Started
from libs.simulator.net.tftp_receiver import GRUB
from libs.simulator.options import GrubBuild
from libs.simulator.stages import Stage

_LISTS = ("command.lst", "fs.lst", "crypto.lst", "terminal.lst")
_PATH = re.compile(r"(?:\((?P<device>[^()]*)\))?(?P<path>/.*)")


async def run(env: Environment, path: str) -> Next:
    """Go on from a started GRUB. Raises SimulationError where a machine would stand still."""
    folder = "/grub" if env.grub is GrubBuild.DEBIAN else _folder(path)
    variables = _variables(env, folder)
    shell = Shell(_Machine(env, variables), COMMANDS, variables)
    try:
        await _normal(shell, env, folder)
    except Started as end:
        return end.started
    raise ConfigurationError("GRUB stops at its command line: " + ("; ".join(shell.printed) or "nothing was booted"))


async def _normal(shell: Shell, env: Environment, folder: str) -> None:
    for name in _LISTS:
        await _optional(env, f"{folder}/x86_64-efi/{name}")
    for name in _candidates(env):
        text = await _optional(env, f"{folder}/{name}")
        if text is not None:
            await configure(shell, f"{folder}/{name}", text)
            start(shell)
            return


async def _optional(env: Environment, path: str) -> bytes | None:
    """A file that may be missing."""
    try:
        return await env.read(path, GRUB)
    except TransferError as error:
        if error.kind not in ("missing", "refused"):
            raise
        return None


def _candidates(env: Environment) -> list[str]:
    """The names of the configuration. Debian's signed GRUB has one; Red Hat's looks for the machine's own first."""
    if env.grub is GrubBuild.DEBIAN:
        return ["grub.cfg"]
    uuid, mac = str(env.identity.uuid), env.identity.mac.replace(":", "-")
    address = env.lease.address.packed.hex().upper()
    own = [uuid, f"01-{mac}", *(address[:length] for length in range(8, 0, -1))]
    return [*(f"grub.cfg-{name}" for name in own), "grub.cfg"]


def _folder(path: str) -> str:
    path = urlsplit(path).path if "://" in path else path
    return "/" + path.strip("/").rpartition("/")[0] if "/" in path.strip("/") else ""


def _variables(env: Environment, folder: str) -> dict[str, str]:
    """The environment that GRUB starts with (GRUB manual, "Network" and "Special environment variables")."""
    device, address = f"tftp,{env.lease.next_server}", str(env.lease.address)
    return {
        "root": device,
        "prefix": f"({device}){folder}",
        "cmdpath": f"({device}){folder}",
        "grub_cpu": "x86_64",
        "grub_platform": "efi",
        "net_default_interface": "efinet0",
        "net_default_mac": env.identity.mac,
        "net_default_ip": address,
        "net_default_server": str(env.lease.next_server),
        "net_efinet0_mac": env.identity.mac,
        "net_efinet0_ip": address,
        "net_efinet0_next_server": str(env.lease.next_server),
        "net_efinet0_boot_file": env.lease.boot_file,
    }


@dataclass
class _Machine:
    """GRUB's view of the machine: (tftp,…) and (http,…) are the network, (hd…) is the disk."""

    env: Environment
    variables: Mapping[str, str]

    async def script(self, path: str) -> bytes:
        """A configuration from the network."""
        own = self.env.identity.mac in path.lower() or str(self.env.identity.uuid) in path
        return await self.env.read(self._network(path), GRUB, Stage.CONFIGURED if own else None)

    async def kernel(self, path: str) -> None:
        """A kernel from the network."""
        await self.env.reach(Stage.CONFIGURED, path)
        await self.env.load(self._network(path), GRUB, Stage.KERNEL)

    async def initrd(self, path: str) -> None:
        """An initial ram disk from the network."""
        await self.env.load(self._network(path), GRUB, Stage.INITRD)

    async def chain(self, path: str) -> Next:
        """A loader on the disk, or a boot program from the network."""
        await self.env.reach(Stage.CONFIGURED, path)
        device, name = self._resolve(path)
        if not device.startswith("hd"):
            return Program(self._network(path))
        if not self.env.disk.has(name):
            raise BootError(f"error: file `{name}' not found.")
        return LocalDisk(f"chainloader {path}")

    def listed(self, path: str) -> bool:
        """Only the disk's directories can be listed."""
        device, name = self._resolve(path)
        return device.startswith("hd") and self.env.disk.has(name)

    async def size(self, path: str) -> int:
        """Opens the file, wherever it is."""
        if self.listed(path):
            return 1
        try:
            return (await self.env.fetch(self._network(path), GRUB)).size
        except SimulationError:
            return 0

    def _resolve(self, path: str) -> tuple[str, str]:
        found = _PATH.fullmatch(path)
        if found is None:
            raise BootError(f"error: invalid file name `{path[:80]}'.")
        return found["device"] or self.variables.get("root", ""), found["path"]

    def _network(self, path: str) -> str:
        device, name = self._resolve(path)
        kind, _, server = device.partition(",")
        if kind == "tftp":
            return name if server in ("", str(self.env.lease.next_server)) else f"tftp://{server}{name}"
        if kind == "http":
            return f"http://{server or self.env.lease.next_server}{name}"
        raise BootError(f"error: file `{path[:80]}' not found.")
