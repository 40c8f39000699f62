"""GRUB's menu: a configuration is run, then the entry that `default` names is booted after `timeout`."""

import re

from libs.simulator.errors import StandstillError, TransferError
from libs.simulator.loaders.grub_shell import Entry, Shell, Started
from libs.simulator.texts.grub_syntax import parse


async def source(shell: Shell, path: str) -> None:
    """Run a script in the menu that is being built. GRUB says nothing of one that is not there, and goes on."""
    try:
        text = await shell.machine.script(path)
    except TransferError as error:
        shell.complain(error)
        return
    await shell.run(parse(text.decode("utf-8", "replace")))


async def configure(shell: Shell, path: str, text: bytes | None = None) -> None:
    """Run a configuration with a menu of its own, and boot from that menu where it has entries."""
    outer, shell.entries = shell.entries, []
    if text is None:
        await source(shell, path)
    else:
        await shell.run(parse(text.decode("utf-8", "replace")))
    if shell.entries:
        await _menu(shell, shell.variables.get("default", "0"))
    shell.entries = outer


async def _menu(shell: Shell, default: str) -> None:
    timeout = shell.variables.get("timeout", "")
    if not re.match(r"[0-9]", timeout):
        raise StandstillError(f"GRUB waits in its menu for ever (timeout is {timeout or 'not set'})")
    for choice in (default, *shell.variables.get("fallback", "").split()):
        await _boot(shell, choice)
    raise StandstillError("GRUB is back in its menu and waits: " + ("; ".join(shell.printed) or "nothing was booted"))


async def _boot(shell: Shell, choice: str) -> None:
    """Run the chosen entry and start what it loaded; returns where it loaded nothing."""
    head, _, rest = choice.partition(">")
    entry = _chosen(shell.entries, head)
    shell.variables["chosen"] = entry.title
    if not entry.submenu:
        await shell.run(entry.block, (entry.title, *entry.arguments))
        start(shell)
        return
    outer, shell.entries = shell.entries, []
    await shell.run(entry.block)
    if shell.entries:
        await _menu(shell, rest or "0")
    shell.entries = outer


def start(shell: Shell) -> None:
    """Hand over to what is loaded, if anything is. Raises Started."""
    if shell.pending is not None:
        raise Started(shell.pending)


def _chosen(entries: list[Entry], choice: str) -> Entry:
    """By number, by id, by title; the first where nothing fits, as GRUB does."""
    if re.fullmatch(r"[0-9]{1,4}", choice) and int(choice) < len(entries):
        return entries[int(choice)]
    return next((entry for entry in entries if choice and choice in (entry.id, entry.title)), entries[0])
