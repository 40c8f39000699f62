"""GRUB's commands, one function each and one table (GRUB manual, "The list of command-line and menu entry commands").

A command that GRUB has and that changes nothing here does nothing; one whose effect would matter stops the machine
with a message that says so, rather than letting it go on with a wrong idea.
"""

from collections.abc import Mapping
from dataclasses import replace

from libs.simulator.boot import Linux
from libs.simulator.errors import StandstillError
from libs.simulator.loaders.grub_menu import configure, source, start
from libs.simulator.loaders.grub_shell import Command, CommandError, Entry, Shell
from libs.simulator.loaders.grub_test import test
from libs.simulator.texts.grub_syntax import Block

_OPTIONS_WITH_VALUE = frozenset(("--id", "--class", "--users", "--hotkey", "--source"))


async def _set(shell: Shell, words: list[str], _block: Block | None) -> None:
    for word in words:
        if "=" not in word:
            raise CommandError(f"error: invalid argument `{word[:60]}'.")
        shell.assign(word)


async def _unset(shell: Shell, words: list[str], _block: Block | None) -> None:
    for word in words:
        shell.variables.pop(word, None)


async def _test(shell: Shell, words: list[str], _block: Block | None) -> None:
    if not await test(words, shell.machine):
        raise CommandError("")


async def _bracket(shell: Shell, words: list[str], block: Block | None) -> None:
    if words[-1:] != ["]"]:
        raise CommandError("error: a `[' without its `]'.")
    await _test(shell, words[:-1], block)


async def _nothing(_shell: Shell, _words: list[str], _block: Block | None) -> None:
    """A command that changes nothing that a simulated machine has."""


async def _false(_shell: Shell, _words: list[str], _block: Block | None) -> None:
    raise CommandError("")


async def _source(shell: Shell, words: list[str], _block: Block | None) -> None:
    await source(shell, _one(words))


async def _configfile(shell: Shell, words: list[str], _block: Block | None) -> None:
    await configure(shell, _one(words))


async def _linux(shell: Shell, words: list[str], _block: Block | None) -> None:
    shell.pending = None
    kernel = words[0] if words else _one(words)
    await shell.machine.kernel(kernel)
    shell.pending = Linux(" ".join((f"BOOT_IMAGE={kernel}", *words[1:])))


async def _initrd(shell: Shell, words: list[str], _block: Block | None) -> None:
    if not isinstance(shell.pending, Linux):
        raise CommandError("error: you need to load the kernel first.")
    for path in words or [_one(words)]:
        await shell.machine.initrd(path)
        shell.pending = replace(shell.pending, initrds=shell.pending.initrds + 1)


async def _chainloader(shell: Shell, words: list[str], _block: Block | None) -> None:
    shell.pending = None
    shell.pending = await shell.machine.chain(_one([word for word in words if word != "--force"]))


async def _boot(shell: Shell, _words: list[str], _block: Block | None) -> None:
    start(shell)
    raise CommandError("error: you need to load the kernel first.")


async def _exit(_shell: Shell, words: list[str], _block: Block | None) -> None:
    # EDK2 takes a loader's success for the end of booting and stays in its set-up screen; GRUB 2.06 has no other exit.
    raise StandstillError(f"GRUB left by `{' '.join(['exit', *words])}': the firmware stays in its set-up screen")


async def _power(shell: Shell, _words: list[str], _block: Block | None) -> None:
    said = "; ".join(shell.printed) or "nothing was booted"
    raise StandstillError(f"GRUB's script restarts the machine: {said}")


async def _search(shell: Shell, words: list[str], _block: Block | None) -> None:
    """Looks through disks alone: GRUB does not search the network."""
    variable, names = "root", []
    for word in words:
        option, _, value = word.partition("=")
        if option == "--set" or word == "-s":
            variable = value or "root"
        elif not word.startswith("-"):
            names.append(word)
    if len(names) == 2 and ("--set" in words or "-s" in words):
        variable = names.pop(0)
    wanted = names[0] if names else ""
    by_file = not {"-u", "--fs-uuid", "-l", "--label"} & set(words)
    if not (by_file and shell.machine.listed(f"(hd0,gpt1){wanted}")):
        raise CommandError(f"error: no such device: {wanted[:80]}.")
    shell.variables[variable] = "hd0,gpt1"


async def _menuentry(shell: Shell, words: list[str], block: Block | None) -> None:
    shell.entries.append(_entry(words, block, submenu=False))


async def _submenu(shell: Shell, words: list[str], block: Block | None) -> None:
    shell.entries.append(_entry(words, block, submenu=True))


def _entry(words: list[str], block: Block | None, *, submenu: bool) -> Entry:
    plain: list[str] = []
    identifier = ""
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        if name in _OPTIONS_WITH_VALUE:
            value = value or next(rest, "")
            identifier = value if name == "--id" else identifier
        elif not word.startswith("--"):
            plain.append(word)
    if not plain or block is None:
        raise CommandError("error: one argument and a block expected.")
    return Entry(plain[0], identifier, block, submenu, tuple(plain[1:]))


def _one(words: list[str]) -> str:
    if len(words) != 1:
        raise CommandError("error: filename expected." if not words else "error: one argument expected.")
    return words[0]


def _unsimulated(name: str) -> Command:
    async def refuse(_shell: Shell, _words: list[str], _block: Block | None) -> None:
        raise StandstillError(f"GRUB's command `{name}' is not simulated")

    return refuse


_WITHOUT_EFFECT = [
    "background_color",
    "background_image",
    "clear",
    "echo",
    "export",
    "insmod",
    "load_env",
    "load_video",
    "loadfont",
    "password",
    "password_pbkdf2",
    "play",
    "rmmod",
    "save_env",
    "serial",
    "sleep",
    "terminal",
    "terminal_input",
    "terminal_output",
]
_NOT_SIMULATED = [
    "break",
    "continue",
    "eval",
    "initrd16",
    "legacy_configfile",
    "linux16",
    "loopback",
    "module",
    "module2",
    "multiboot",
    "multiboot2",
    "net_bootp",
    "net_dhcp",
    "normal",
    "regexp",
    "return",
    "smbios",
]

COMMANDS: Mapping[str, Command] = {
    "set": _set,
    "unset": _unset,
    "test": _test,
    "[": _bracket,
    "true": _nothing,
    "false": _false,
    "source": _source,
    ".": _source,
    "configfile": _configfile,
    "linux": _linux,
    "linuxefi": _linux,
    "initrd": _initrd,
    "initrdefi": _initrd,
    "chainloader": _chainloader,
    "boot": _boot,
    "exit": _exit,
    "reboot": _power,
    "halt": _power,
    "fwsetup": _power,
    "search": _search,
    "search.file": _search,
    "menuentry": _menuentry,
    "submenu": _submenu,
    **dict.fromkeys(_WITHOUT_EFFECT, _nothing),
    **{name: _unsimulated(name) for name in _NOT_SIMULATED},
}
