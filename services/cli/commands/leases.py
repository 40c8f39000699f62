"""`leases` and `release`: which addresses are held by whom, and an address taken back."""

from typing import Any
from urllib.parse import quote

import click
from rich.text import Text

from services.cli.api import Api
from services.cli.output import console, print_json, table
from services.cli.verbs import Cli, awaited, verb

COLUMNS = ("address", "mac", "machine", "subnet", "expires")
_BECAME = {"released": "is released", "free": "is out of quarantine"}


@verb("leases")
@click.option("--subnet", help="In this subnet.")
@click.option("--machine", help="Of this machine.")
@click.option("-q", "q", metavar="TEXT", help="With this in the address, the hardware address or the name.")
@awaited
async def leases(cli: Cli, **filters: str | None) -> int:
    """The addresses that are held now, and until when."""
    async with Api(cli.settings) as api:
        found = [lease async for lease in api.pages("/v1/leases", **filters)]
    if cli.as_json:
        print_json(found)
    elif found:
        console().print(table(COLUMNS, (_row(lease) for lease in found)))
    else:
        console().print(Text("no leases", style="dim"))
    return 0


def _row(lease: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(lease[column] or "") for column in COLUMNS)


@verb("release")
@click.argument("addresses", metavar="ADDRESS…", nargs=-1, required=True)
@awaited
async def release(cli: Cli, addresses: tuple[str, ...]) -> int:
    """Take addresses back: a lease ends, or a quarantine; `leases` lists what is held."""
    async with Api(cli.settings) as api:
        released = [await api.post(f"/v1/leases/{quote(address, safe='')}:release") for address in addresses]
    if cli.as_json:
        print_json(released)
    for one in [] if cli.as_json else released:
        holder = f"  ({one['mac']}, {one['subnet']})" if one["mac"] else f"  ({one['subnet']})"
        console().print(Text.assemble((one["address"], "bold"), f" {_BECAME[one['state']]}", (holder, "dim")))
    return 0
