"""`machines`, `installs`, `images`, `profiles`, `subnets`, `webhooks`, `events`: list, show one, watch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import click
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from services.cli.api import Api
from services.cli.columns import LOOKS
from services.cli.eventline import event_line
from services.cli.names import install_of, named
from services.cli.output import ago, console, duration, print_json, print_json_line, state_text, table
from services.cli.verbs import Cli, Verb, awaited, verb

WATCH_PAUSE = 1.0
Option = Callable[[Callable[..., Any]], Callable[..., Any]]
WATCH = click.option("-w", "--watch", is_flag=True, help="Keep it up to date until interrupted.")
FILTERS: dict[str, list[Option]] = {
    "machines": [
        click.option("--state", help="In this state (none: never installed)."),
        click.option("--tag", multiple=True, metavar="KEY=VALUE", help="With this tag; may be repeated."),
        click.option("--profile", help="With this profile."),
        click.option("-q", "q", metavar="TEXT", help="With this in a name, hardware address, address or external id."),
    ],
    "installs": [
        click.option("--state", help="In this state, or `active`."),
        click.option("--machine", help="Of this machine."),
        click.option("--profile", help="With this profile."),
        click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The latest."),
    ],
}


async def _listed(api: Api, kind: str, filters: dict[str, Any]) -> list[dict[str, Any]]:
    limit = filters.pop("limit", None)
    found: list[dict[str, Any]] = []
    async for item in api.pages(f"/v1/{kind}", **filters):
        found.append(item)
        if limit and len(found) >= limit:
            break
    return found


def _table(kind: str, items: list[dict[str, Any]]) -> RenderableType:
    look = LOOKS[kind]
    return table(look.columns, (look.row(item) for item in items)) if items else Text(f"no {kind}", style="dim")


def _listing(kind: str, sentence: str) -> Verb:
    async def run(cli: Cli, name: str | None, watch: bool, **filters: Any) -> int:
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in filters.items() if value}
        async with Api(cli.settings) as api:
            if name is not None:
                return await _show(cli, api, kind, name)
            if watch:
                return await _watch(cli, kind, lambda: _listed(api, kind, dict(given)))
            items = await _listed(api, kind, given)
        if cli.as_json:
            print_json(items)
        else:
            console().print(_table(kind, items))
        return 0

    function: Callable[..., Any] = awaited(run)
    for option in (*reversed(FILTERS.get(kind, [])), WATCH, click.argument("name", required=False)):
        function = option(function)
    return verb(kind, help=sentence)(function)


async def _watch(cli: Cli, kind: str, look: Callable[[], Awaitable[list[dict[str, Any]]]]) -> int:
    """Draw it anew when something changed. Programs get each new state of it as one line."""
    if cli.as_json:
        async for found in _changes(look):
            print_json_line(found)
    out, items = console(), await look()
    with Live(get_renderable=lambda: _table(kind, items), console=out, refresh_per_second=4, screen=out.is_terminal):
        async for found in _changes(look):
            items = found
            if not out.is_terminal:
                out.print(_table(kind, items))
    return 0


async def _changes(look: Callable[[], Awaitable[list[dict[str, Any]]]]) -> AsyncIterator[list[dict[str, Any]]]:
    before = None
    while True:
        if (items := await look()) != before:
            yield items
        before = items
        await asyncio.sleep(WATCH_PAUSE)


# --- one of them ----------------------------------------------------------------------------------------------------


async def _show(cli: Cli, api: Api, kind: str, name: str) -> int:
    if kind == "installs":
        return await _show_install(cli, api, name)
    item = await named(api, kind, name)
    if cli.as_json:
        print_json(item)
    else:
        console().print(_fields(item))
    return 0


def _fields(item: dict[str, Any]) -> RenderableType:
    """Every field that says something, one a line; `status` of a machine is spread out."""
    flat = {key: value for key, value in item.items() if key != "status"} | item.get("status", {})
    rows = [(key, _value(key, value)) for key, value in flat.items() if value not in (None, "", [], {})]
    return table(("", ""), rows)


def _value(key: str, value: Any) -> str | Text:
    if key in ("state", "milestone"):
        return state_text(value)
    if isinstance(value, dict):
        return "\n".join(f"{name}: {inner}" for name, inner in value.items())
    return "\n".join(str(part) for part in value) if isinstance(value, list) else str(value)


async def _show_install(cli: Cli, api: Api, target: str) -> int:
    install = await install_of(api, target)
    timeline = await api.get(f"/v1/installs/{install['id']}/timeline")
    if cli.as_json:
        print_json(timeline)
        return 0
    out = console()
    head = Text.assemble((install["machine"], "bold"), f"  install {install['id']}  ", state_text(install["state"]))
    out.print(head, f" for {ago(install['since'])}; {install['profile']} ({install['image']})\n")
    spans = [
        (state_text(span["state"]), _lasted(span["seconds"]), Text(span["cause"], style="dim"))
        for span in timeline["states"]
    ]
    out.print(table(("state", "lasted", "because of"), spans), "")
    for item in timeline["items"]:
        out.print(event_line(item["event"]))
    return 0


def _lasted(seconds: float | None) -> str:
    return "…" if seconds is None else duration(seconds)


machines = _listing("machines", "The fleet, or one machine of it.")
installs = _listing("installs", "Installs, or the timeline of one.")
images = _listing("images", "The operating systems that can be installed.")
profiles = _listing("profiles", "What machines can be made into.")
subnets = _listing("subnets", "The networks that are served.")
webhooks = _listing("webhooks", "Who is told of events.")
