"""`apply`: the fleet as files declare it."""

from typing import Any

import click
from rich.text import Text

from services.cli.api import Api
from services.cli.errors import WrongUse
from services.cli.fleetfiles import FleetFiles
from services.cli.output import console, print_json
from services.cli.verbs import Cli, awaited, read_input, verb

OUTCOMES = {"created": "green", "changed": "yellow", "removed": "red"}


@verb("apply")
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done.")
@click.option("--prune", is_flag=True, help="Remove what the files leave out, of each kind that they declare.")
@awaited
async def apply(cli: Cli, files: tuple[str, ...], dry_run: bool, prune: bool) -> int:
    """Declare the fleet from YAML files.

    All or nothing, and as often as you like; `-` is standard input.
    """
    fleet = FleetFiles()
    for file in files:
        fleet.add("standard input" if file == "-" else file, read_input(file))
    async with Api(cli.settings) as api:
        try:
            query = {"dry_run": "true" if dry_run else None, "prune": "true" if prune else None}
            answer = await api.post("/v1/apply", fleet.declaration, **query)
        except WrongUse as error:
            raise _located(error, fleet) from None
    if cli.as_json:
        print_json(answer)
    else:
        _print(answer, dry_run=dry_run)
    return 0


def _located(error: WrongUse, fleet: FleetFiles) -> WrongUse:
    """The same error, with each fault's file and line."""
    if not error.problems:
        return error
    problems = [{**problem, "where": fleet.locate(problem["field"])} for problem in error.problems]
    return WrongUse("the fleet was refused, and nothing was changed", problems=problems)


def _print(answer: dict[str, Any], *, dry_run: bool) -> None:
    out = console()
    for outcome, style in OUTCOMES.items():
        for name in answer[outcome]:
            out.print(Text.assemble((f"{outcome:<8}", style), " ", name))
    counts = ", ".join(f"{len(answer[outcome])} {outcome}" for outcome in (*OUTCOMES, "unchanged") if answer[outcome])
    out.print(f"{counts or 'nothing is declared'}{' (a dry run: nothing was done)' if dry_run else ''}")
    for warning in answer.get("warnings", []):
        out.print(Text.assemble(("warning ", "yellow"), warning))
