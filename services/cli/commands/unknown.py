"""`unknown` and `adopt`: machines that nobody registered, and one of them taken into the fleet."""

from typing import Any
from urllib.parse import quote

import click
from rich.text import Text

from services.cli.api import Api
from services.cli.output import ago, console, print_json, table
from services.cli.verbs import Cli, awaited, verb

COLUMNS = ("mac", "last asked", "first", "subnet", "relay", "client", "arch", "vendor class")


@verb("unknown")
@click.option("--subnet", help="In this subnet.")
@click.option("--since", metavar="TIME", help="Asked since then: 1h, 2d, or 2026-03-01T12:00:00Z.")
@awaited
async def unknown(cli: Cli, **filters: str | None) -> int:
    """Machines that asked for an address and are not registered; `adopt` registers one."""
    async with Api(cli.settings) as api:
        found = [stranger async for stranger in api.pages("/v1/unknown", **filters)]
    if cli.as_json:
        print_json(found)
    elif found:
        console().print(table(COLUMNS, (_row(stranger) for stranger in found)))
    else:
        console().print(Text("no unknown machines", style="dim"))
    return 0


def _row(stranger: dict[str, Any]) -> tuple[str, ...]:
    times = (ago(stranger["last_seen"]), ago(stranger["first_seen"]))
    rest = (str(stranger[key] or "") for key in ("subnet", "relay", "client", "arch", "vendor_class"))
    return (stranger["mac"], *times, *rest)


def _tags(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise click.BadParameter(f"{text!r} is no tag; write it like rack=r7")
    return dict(text.split("=", 1) for text in given)


@verb("adopt")
@click.argument("mac")
@click.option("--name", required=True, help="What the machine is called from now on.")
@click.option("--profile", help="What it is made into.")
@click.option("--address", help="A reserved address; otherwise it gets one from the pool.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=_tags, help="May be repeated.")
@awaited
async def adopt(cli: Cli, mac: str, **given: Any) -> int:
    """Register a machine that asked for an address; `unknown` lists them."""
    body = {key: value for key, value in given.items() if value}
    async with Api(cli.settings) as api:
        machine = await api.call("POST", f"/v1/unknown/{quote(mac, safe='')}:adopt", json=body)
    if cli.as_json:
        print_json(machine)
        return 0
    console().print(Text.assemble((machine["name"], "bold"), f" is registered  ({machine['macs'][0]})"))
    if machine.get("profile"):
        console().print(Text(f"`kickfleet install {machine['name']}` orders its install", style="dim"))
    return 0
