"""`demo`: the whole chain in a minute, without root and without a network."""

import asyncio
import signal
import tempfile
from pathlib import Path

import click

from services.cli.demo.fleet import MOST
from services.cli.demo.show import Show
from services.cli.errors import EXIT_INTERRUPTED
from services.cli.output import console
from services.cli.verbs import Cli, awaited, verb


@verb("demo")
@click.option("--machines", type=click.IntRange(1, MOST), default=24, show_default=True, help="How many.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Keep everything in this folder.")
@awaited
async def demo(cli: Cli, machines: int, data: Path | None) -> int:
    """Watch simulated machines install themselves.

    They install through the real services, over real DHCP, TFTP and HTTP on loopback.

    The exit code is 0 only if all were installed and every timeline is complete, in order, with nothing twice.
    """
    if data:
        return await _play(Show(data.absolute(), machines, console(), as_json=cli.as_json))
    with tempfile.TemporaryDirectory(prefix="kickfleet-demo-", ignore_cleanup_errors=True) as folder:
        return await _play(Show(Path(folder), machines, console(), as_json=cli.as_json))


async def _play(show: Show) -> int:
    """Interrupted or terminated, it still ends what it started."""
    task = asyncio.create_task(show.run())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED
