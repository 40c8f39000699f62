"""`up`, and each service alone."""

import asyncio
import importlib
import signal
from typing import Any

import click

from libs.service import run_with
from services.cli.supervisor import notices
from services.cli.supervisor.supervisor import Supervisor
from services.cli.verbs import Cli, Verb, awaited, verb


@verb("up")
@awaited
async def up(cli: Cli) -> int:
    """Run the bus and the four services on this host.

    The bus is an embedded NATS server, where `bus.url` names no other. What dies is started again.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    say = notices.as_json if cli.as_json else notices.as_lines
    return await Supervisor(cli.settings, cli.config, say).run(stop)


def _service(name: str, sentence: str) -> Verb:
    def run(context: click.Context) -> int:
        module: Any = importlib.import_module(f"services.{name}.service")
        return run_with(name, getattr(module, name), context.ensure_object(Cli).settings)

    return verb(name, help=sentence)(click.pass_context(run))


dhcp = _service("dhcp", "Run the DHCP service alone.")
tftp = _service("tftp", "Run the TFTP service alone.")
kickstart = _service("kickstart", "Run the service of answer files and images alone.")
inventory = _service("inventory", "Run the inventory and its API alone.")
