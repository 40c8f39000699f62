"""`events` and `tail`: what happened, and what happens."""

import re
from typing import Any

import click

from services.cli.api import Api
from services.cli.eventline import event_line, event_types, since
from services.cli.output import console, plural, print_json, print_json_line
from services.cli.verbs import Cli, awaited, verb


@verb("events")
@click.option("--machine", help="Of this machine.")
@click.option("--type", "kind", metavar="GLOB", help="Of these types, as in 'install.*' or '*.failed'.")
@click.option("--install", help="Of this install.")
@click.option("--since", "since_", metavar="WHEN", help="From 10m ago, or from a time, on: all of them.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The latest.")
@click.option("-w", "--watch", is_flag=True, help="Go on with what happens, as `tail` does.")
@awaited
async def events(cli: Cli, machine: str | None, kind: str | None, since_: str | None, watch: bool, **rest: Any) -> int:
    """What happened: the latest events, or all since a time."""
    query = {"machine": machine, "type": event_types(kind), "install": rest["install"], "since": since(since_)}
    async with Api(cli.settings) as api:
        if since_:
            found = [event async for event in api.pages("/v1/events", **query)]
        else:
            page = await api.get("/v1/events", **query, order="desc", limit=rest["limit"])
            found = page["items"][::-1]
        if cli.as_json and not watch:
            print_json(found)
            return 0
        for event in found:
            print_event(cli, event)
        last = found[-1]["sequence"] if found else None
        if not watch and not cli.as_json:
            console(error=True).print(plural(len(found), "event"), style="dim")
        if watch:
            async for event in api.stream(after=last, **{**query, "since": None}):
                print_event(cli, event)
    return 0


def print_event(cli: Cli, event: dict[str, Any]) -> None:
    """One line, for people or for programs."""
    if cli.as_json:
        print_json_line(event)
    else:
        console().print(event_line(event))


@verb("tail")
@click.option("--machine", help="Of this machine: a name or a hardware address.")
@click.option("--type", "kind", metavar="GLOB", help="Of these types, as in 'install.*' or '*.failed'.")
@click.option("--install", help="Of this install.")
@click.option("--since", "since_", metavar="WHEN", help="Begin 10m ago, at a time, or behind a sequence number.")
@awaited
async def tail(cli: Cli, machine: str | None, kind: str | None, install: str | None, since_: str | None) -> int:
    """Follow events as they happen, one line each."""
    behind = since_ if since_ and since_.isdigit() else None
    query: dict[str, Any] = {"type": event_types(kind), "install": install}
    if machine:
        query["mac" if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", machine) else "machine"] = machine
    async with Api(cli.settings) as api:
        async for event in api.stream(after=behind, since=None if behind else since(since_), on_break=_broken, **query):
            print_event(cli, event)
    return 0


def _broken(reason: str) -> None:
    console(error=True).print(f"the stream broke ({reason}); resuming where it was", style="yellow")
