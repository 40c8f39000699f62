"""`transfers`: the TFTP transfers that run now, and how far each is."""

import asyncio
from typing import Any

import click
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from services.cli.api import Api
from services.cli.output import console, print_json, print_json_line, table
from services.cli.verbs import Cli, awaited, verb

WATCH_PAUSE = 0.5  # seconds
BAR = 20  # characters
COLUMNS = ("machine", "address", "file", "", "%", "MB/s", "seconds", "again", "blksize", "window", "round trip")


@verb("transfers")
@click.option("-w", "--watch", is_flag=True, help="Keep it up to date until interrupted.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Those that run longest.")
@awaited
async def transfers(cli: Cli, watch: bool, limit: int) -> int:
    """TFTP transfers that run now, and how far they are."""
    async with Api(cli.settings) as api:
        found = await _look(api, limit)
        if watch:
            await _watch(cli, api, limit, found)
        elif cli.as_json:
            print_json(found["transfers"])
        else:
            console().print(_picture(found))
    return 0


async def _look(api: Api, limit: int) -> dict[str, Any]:
    found: dict[str, Any] = await api.get("/v1/transfers", limit=limit)
    return found


async def _watch(cli: Cli, api: Api, limit: int, found: dict[str, Any]) -> None:
    """Draw it anew twice a second. Programs get each look as one line."""
    if cli.as_json:
        while True:
            print_json_line(found["transfers"])
            await asyncio.sleep(WATCH_PAUSE)
            found = await _look(api, limit)
    out = console()
    with Live(_picture(found), console=out, auto_refresh=False, screen=out.is_terminal) as live:
        while True:
            live.update(_picture(found), refresh=True)
            await asyncio.sleep(WATCH_PAUSE)
            found = await _look(api, limit)


def _picture(found: dict[str, Any]) -> RenderableType:
    running = found["transfers"]
    if not running:
        return Text("no transfers", style="dim")
    title = f"{found['total']} transfers" + (f", {len(running)} shown" if found["total"] > len(running) else "")
    shown = table(COLUMNS, map(_row, running))
    shown.title = title
    return shown


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    part = one["bytes"] / one["size"] if one["size"] else 1.0
    rate = one["bytes"] / one["seconds"] / 1e6 if one["seconds"] else 0.0
    round_trip = f"{one['round_trip'] * 1000:.1f} ms" if one["round_trip"] else ""
    return (
        one["machine"] or one["mac"] or "",
        one["ip"],
        one["path"],
        "█" * int(part * BAR) + "░" * (BAR - int(part * BAR)),
        f"{part:.0%}",
        f"{rate:.1f}",
        f"{one['seconds']:.1f}",
        str(one["retransmits"]),
        str(one["blksize"]),
        str(one["windowsize"]),
        round_trip,
    )
