"""PXELINUX: its library, its configuration in its search order, kernel and initial ram disks."""

from collections.abc import Mapping

from libs.simulator.boot import Linux, LocalDisk, Next, Program
from libs.simulator.errors import BootError, ConfigurationError, TransferError
from libs.simulator.loaders.environment import Environment
from libs.simulator.net.tftp_receiver import PXELINUX
from libs.simulator.stages import Stage
from libs.simulator.texts.pxelinux import Command, automatic, parse, search
from libs.wire import WireError
from libs.wire.dhcp_options import Option, read_addresses

_LIBRARY = ("ldlinux.c32", "/boot/isolinux/ldlinux.c32", "/isolinux/ldlinux.c32")
_LIBRARY_ELSEWHERE = ("/boot/syslinux/ldlinux.c32", "/syslinux/ldlinux.c32", "/ldlinux.c32")
_LINUX = ("kernel", "linux")
_READABLE = 4 * 1024 * 1024  # octets of ldlinux.c32 or a configuration


async def run(env: Environment, path: str) -> Next:
    """Go on from a started pxelinux.0 or lpxelinux.0. Raises SimulationError where a machine would stand still."""
    prefix = path[: path.rfind("/") + 1]
    if await _first(env, [_under(prefix, name) for name in (*_LIBRARY, *_LIBRARY_ELSEWHERE)]) is None:
        raise BootError("PXELINUX: Failed to load ldlinux.c32")
    found = await _first(env, [prefix + name for name in search(*_names(env))], Stage.CONFIGURED)
    if found is None:
        raise ConfigurationError("PXELINUX: Unable to locate configuration file")
    config = parse(found)
    if config.ui:
        await env.fetch(_under(prefix, config.ui.split()[0]), PXELINUX)
    chosen = automatic(config, _sysappend(env))
    return await _start(env, chosen, prefix, http="lpxelinux" in path)


async def _start(env: Environment, chosen: Command, prefix: str, *, http: bool) -> Next:
    if chosen.kind == "localboot":
        return LocalDisk(f"LOCALBOOT {chosen.kernel}")
    if chosen.kind in ("pxe", "boot", "bss"):
        return Program(_under(prefix, chosen.kernel))
    if chosen.kind not in _LINUX:
        raise ConfigurationError(f"PXELINUX: {chosen.kind.upper()} {chosen.kernel} is not simulated")
    if not chosen.kernel:
        raise ConfigurationError("PXELINUX: the label names no kernel")
    for name, stage in [(chosen.kernel, Stage.KERNEL), *((name, Stage.INITRD) for name in chosen.initrds())]:
        if "://" in name and not http:
            raise TransferError(f"PXELINUX: Loading {name} failed: pxelinux.0 does not speak HTTP", "broken")
        await env.load(_under(prefix, name), PXELINUX, stage)
    return Linux(chosen.command_line(), len(chosen.initrds()))


async def _first(env: Environment, names: list[str], stage: Stage | None = None) -> bytes | None:
    """The first file that is there and not empty: PXELINUX takes an empty one for none."""
    for name in names:
        try:
            download = await env.fetch(name, PXELINUX, stage, keep=_READABLE)
        except TransferError as error:
            if error.kind not in ("missing", "refused"):
                raise
            continue
        if download.size:
            return download.content
    return None


def _under(prefix: str, name: str) -> str:
    """A name as PXELINUX asks for it: `::` leads to the server's root, other names to where it came from itself."""
    if "://" in name:
        return name
    return name.removeprefix("::") if name.startswith("::") else prefix + name


def _names(env: Environment) -> tuple[str, str, str]:
    return str(env.identity.uuid), env.identity.mac, str(env.lease.address)


def _sysappend(env: Environment) -> Mapping[int, str]:
    """The texts of SYSAPPEND's bits 1, 2 and 4 (Syslinux wiki, "SYSAPPEND")."""
    address, server = env.lease.address, env.lease.next_server
    mask, router = (_address(env, code) for code in (Option.SUBNET_MASK, Option.ROUTER))
    return {
        1: f"ip={address}:{server}:{router}:{mask}",
        2: f"BOOTIF=01-{env.identity.mac.replace(':', '-')}",
        4: f"SYSUUID={env.identity.uuid}",
    }


def _address(env: Environment, code: Option) -> str:
    try:
        return str(read_addresses(env.lease.options.get(code, b""))[0])
    except WireError:
        return ""
