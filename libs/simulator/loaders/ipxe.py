"""iPXE: fetches what it is named and runs it, be it a script or another boot program."""

from collections.abc import Mapping

from libs.simulator.boot import LocalDisk, Next
from libs.simulator.errors import ReturnedError, StandstillError
from libs.simulator.loaders.environment import Environment
from libs.simulator.loaders.ipxe_commands import COMMANDS
from libs.simulator.loaders.ipxe_shell import CommandError, Shell
from libs.wire import WireError
from libs.wire.dhcp_options import Option, read_addresses, read_text


async def run(env: Environment, uri: str) -> Next:
    """Fetch `uri` and go on from there. Raises SimulationError; ReturnedError where iPXE gives up."""
    shell = Shell(env, COMMANDS, _settings(env))
    try:
        started = await shell.chain(uri)
    except CommandError as error:
        raise ReturnedError(f"iPXE: {error}") from error
    if started is not None:
        return started
    if env.identity.platform == "efi":
        # EDK2 takes a loader's success for the end of booting.
        raise StandstillError("iPXE left with success: the firmware stays in its set-up screen")
    return LocalDisk("iPXE's exit")


def _settings(env: Environment) -> dict[str, str]:
    """The settings that scripts ask for (ipxe.org/cfg)."""
    options = env.lease.options
    efi = env.identity.platform == "efi"
    addresses = {"netmask": Option.SUBNET_MASK, "gateway": Option.ROUTER, "dns": Option.DOMAIN_NAME_SERVER}
    return {
        "mac": env.identity.mac,
        "ip": str(env.lease.address),
        "uuid": str(env.identity.uuid),
        "hostname": read_text(options.get(Option.HOST_NAME, b"")),
        "domain": read_text(options.get(Option.DOMAIN_NAME, b"")),
        "filename": env.lease.boot_file,
        "next-server": str(env.lease.next_server),
        "platform": env.identity.platform,
        "buildarch": "x86_64" if efi else "i386",
    } | {name: _first(options, code) for name, code in addresses.items()}


def _first(options: Mapping[int, bytes], code: Option) -> str:
    try:
        return str(read_addresses(options.get(code, b""))[0])
    except WireError:
        return ""
