"""iPXE's commands, one function each and one table (ipxe.org/cmd).

A command whose effect would matter and that is not simulated stops the machine with a message that says so.
"""

import asyncio
from collections.abc import Mapping

from libs.simulator.boot import Linux, LocalDisk, Next, Program
from libs.simulator.errors import SimulationError, StandstillError
from libs.simulator.loaders.ipxe_shell import Command, CommandError, Exit, Goto, Image, Shell
from libs.simulator.loaders.programs import kind_of
from libs.simulator.net.tftp_receiver import IPXE
from libs.simulator.stages import Stage
from libs.simulator.texts.ipxe import MAX_TEXT, setting

_WITH_VALUE = ("--name", "-n", "--timeout", "-t", "--drive", "-d", "--filename", "-f")
_LONG = {"-n": "--name", "-t": "--timeout", "-d": "--drive", "-f": "--filename"}


async def _nothing(_shell: Shell, _words: list[str]) -> Next | None:
    return None


async def _set(shell: Shell, words: list[str]) -> Next | None:
    _, rest = _options(words)
    if not rest:
        raise CommandError("set: a setting's name is missing")
    value = " ".join(rest[1:])
    if len(value) > MAX_TEXT or len(shell.settings) > 1000:
        raise CommandError("set: Not enough space")
    shell.settings[rest[0]] = value
    return None


async def _clear(shell: Shell, words: list[str]) -> Next | None:
    for word in words:
        shell.settings.pop(word, None)
    return None


async def _isset(_shell: Shell, words: list[str]) -> Next | None:
    if not any(words):
        raise CommandError("isset: it is not")
    return None


async def _iseq(_shell: Shell, words: list[str]) -> Next | None:
    if len(words) != 2 or words[0] != words[1]:
        raise CommandError("iseq: they are not equal")
    return None


async def _goto(_shell: Shell, words: list[str]) -> Next | None:
    raise Goto(words[0] if words else "")


async def _exit(_shell: Shell, words: list[str]) -> Next | None:
    raise Exit(int(words[0]) if words and words[0].isascii() and words[0].isdigit() else 0)


async def _sleep(shell: Shell, words: list[str]) -> Next | None:
    seconds = int(words[0]) if words and words[0].isascii() and words[0].isdigit() and len(words[0]) < 5 else 0
    await asyncio.sleep(shell.env.timing.scaled(seconds))
    return None


async def _kernel(shell: Shell, words: list[str]) -> Next | None:
    image = await _fetch(shell, words, Stage.KERNEL)
    shell.selected = image.name
    return None


async def _initrd(shell: Shell, words: list[str]) -> Next | None:
    await _fetch(shell, words, Stage.INITRD)
    return None


async def _fetch(shell: Shell, words: list[str], stage: Stage) -> Image:
    options, rest = _options(words)
    if not rest:
        raise CommandError("a URI is missing")
    uri, *arguments = rest
    try:
        await shell.env.load(uri, IPXE, Stage.BOOTLOADER if kind_of(uri) else stage)
    except SimulationError as error:
        raise CommandError(str(error)) from error
    image = Image(options.get("--name", uri.rpartition("/")[2]), uri, tuple(arguments))
    shell.images[image.name] = image
    return image


async def _imgargs(shell: Shell, words: list[str]) -> Next | None:
    if not words or words[0] not in shell.images:
        raise CommandError("imgargs: No such file or directory")
    image = shell.images[words[0]]
    image.arguments = tuple(words[1:])
    return None


async def _imgselect(shell: Shell, words: list[str]) -> Next | None:
    if not words or words[0] not in shell.images:
        raise CommandError("imgselect: No such file or directory")
    shell.selected = words[0]
    return None


async def _imgfree(shell: Shell, words: list[str]) -> Next | None:
    for name in words or list(shell.images):
        shell.images.pop(name, None)
    if shell.selected not in shell.images:
        shell.selected = None
    return None


async def _boot(shell: Shell, words: list[str]) -> Next | None:
    _, rest = _options(words)
    if rest and rest[0] not in shell.images:
        await _kernel(shell, rest)
    elif rest:
        shell.selected = rest[0]
    kernel = shell.images.get(shell.selected or "")
    if kernel is None:
        raise CommandError("Could not boot: No such file or directory (no image is selected)")
    if kind_of(kernel.uri) is not None:
        return Program(kernel.uri, loaded=True)
    initrds = [image for image in shell.images.values() if image is not kernel]
    named = {word.removeprefix("initrd=") for word in kernel.arguments if word.startswith("initrd=")}
    if shell.env.identity.platform == "efi" and initrds and not named & {image.name for image in initrds}:
        raise StandstillError("Linux: started as an EFI program it finds no initial ram disk (no initrd=NAME)")
    return Linux(" ".join(kernel.arguments), len(initrds))


async def _chain(shell: Shell, words: list[str]) -> Next | None:
    _, rest = _options(words)
    if not rest:
        raise CommandError("chain: a URI is missing")
    return await shell.chain(rest[0])


async def _sanboot(shell: Shell, words: list[str]) -> Next | None:
    options, rest = _options(words)
    if shell.env.identity.platform == "efi" or rest or not shell.env.disk.installed:
        raise CommandError("Could not boot from SAN device")
    return LocalDisk(f"sanboot {options.get('--drive', '0x80')}")


async def _wait(_shell: Shell, _words: list[str]) -> Next | None:
    raise StandstillError("iPXE waits for somebody at its keyboard")


async def _power(_shell: Shell, _words: list[str]) -> Next | None:
    raise StandstillError("iPXE's script switches the machine off or restarts it")


async def _show(shell: Shell, words: list[str]) -> Next | None:
    if not words or not setting(words[0], shell.settings):
        raise CommandError("show: No such setting")
    return None


def _options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options before the first plain word, and what follows; an option's value may be a word of its own."""
    options: dict[str, str] = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and len(words[at]) > 1:
        name, equals, value = words[at].partition("=")
        if name in _WITH_VALUE and not equals:
            at += 1
            value = words[at] if at < len(words) else ""
        options[_LONG.get(name, name)] = value
        at += 1
    return options, words[at:]


def _unsimulated(name: str) -> Command:
    async def refuse(_shell: Shell, _words: list[str]) -> Next | None:
        raise StandstillError(f"iPXE's command {name!r} is not simulated")

    return refuse


_WITHOUT_EFFECT = ("console", "cpuid", "dhcp", "echo", "ifclose", "ifconf", "ifopen", "ifstat", "imgstat")
_NOT_SIMULATED = ("choose", "imgtrust", "imgverify", "inc", "item", "menu", "params", "read")

COMMANDS: Mapping[str, Command] = {
    "boot": _boot,
    "imgexec": _boot,
    "chain": _chain,
    "clear": _clear,
    "exit": _exit,
    "goto": _goto,
    "imgargs": _imgargs,
    "imgfetch": _initrd,
    "imgfree": _imgfree,
    "imgselect": _imgselect,
    "imgload": _imgselect,
    "initrd": _initrd,
    "iseq": _iseq,
    "isset": _isset,
    "kernel": _kernel,
    "module": _initrd,
    "poweroff": _power,
    "prompt": _wait,
    "reboot": _power,
    "sanboot": _sanboot,
    "set": _set,
    "shell": _wait,
    "show": _show,
    "sleep": _sleep,
    **dict.fromkeys(_WITHOUT_EFFECT, _nothing),
    **{name: _unsimulated(name) for name in _NOT_SIMULATED},
}
