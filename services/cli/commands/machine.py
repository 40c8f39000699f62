"""`why` and `render`: one machine, looked at closely."""

from typing import Any

import click
from rich.text import Text

from services.cli.api import Api
from services.cli.errors import EXIT_FAILED
from services.cli.names import named
from services.cli.output import ago, console, moment, print_json, state_text
from services.cli.verbs import Cli, awaited, verb


@verb("why")
@click.argument("machine")
@awaited
async def why(cli: Cli, machine: str) -> int:
    """Say where a machine stands, and what to do about it."""
    async with Api(cli.settings) as api:
        await named(api, "machines", machine)
        diagnosis = await api.get(f"/v1/machines/{machine}/diagnosis")
    if cli.as_json:
        print_json(diagnosis)
    else:
        _print_diagnosis(diagnosis)
    return 0


def _print_diagnosis(found: dict[str, Any]) -> None:
    out = console()
    since = f" for {ago(found['since'])}" if found["since"] else ""
    state = state_text(found["state"]) if found["state"] else Text("not to be installed", style="dim")
    milestone = f" (last milestone: {found['milestone']})" if found["state"] == "stalled" else ""
    overdue = Text(" · overdue", style="yellow") if found["overdue"] else Text("")
    out.print(Text.assemble((found["machine"], "bold"), " is ", state, milestone, since, overdue))
    out.print(Text.assemble(("cause     ", "dim"), found["cause"]))
    if found["expected"]:
        out.print(Text.assemble(("expected  ", "dim"), found["expected"]))
    out.print(Text.assemble(("next      ", "dim"), (found["next_step"], "bold")))
    for number, item in enumerate(found["evidence"]):
        label = "evidence  " if number == 0 else " " * 10
        out.print(Text.assemble((label, "dim"), (f"{_clock(item['time'])}  {item['type']:<19}", "dim"), item["text"]))
    if found["deadline"] and not found["overdue"]:
        out.print(Text.assemble(("deadline  ", "dim"), _clock(found["deadline"])))


def _clock(text: str) -> str:
    time = moment(text)
    return f"{time.astimezone():%H:%M:%S}" if time else ""


@verb("render")
@click.argument("machine")
@click.option("--validate", is_flag=True, help="Also let the installer's own parser read the answer file.")
@click.option("--file", "only", metavar="PATH", help="Only this file, without a heading.")
@awaited
async def render(cli: Cli, machine: str, validate: bool, only: str | None) -> int:
    """Print every file that a machine would be given."""
    async with Api(cli.settings) as api:
        await named(api, "machines", machine)
        rendered = await api.get(f"/v1/machines/{machine}/render", validate="true" if validate else None)
    if cli.as_json:
        print_json(rendered)
    else:
        _print_files(rendered, only)
    return EXIT_FAILED if rendered["errors"] else 0


def _print_files(rendered: dict[str, Any], only: str | None) -> None:
    out = console()
    for path, text in rendered["files"].items():
        if only is None:
            out.print(Text(f"── {path} ", style="bold cyan"))
        if only in (None, path):
            out.print(Text(text.rstrip("\n")))
            out.print("")
    for error in rendered["errors"]:
        line = f", line {error['line']}" if error["line"] else ""
        where = f"{error['template'] or error['file']}{line}"
        console(error=True).print(Text.assemble(("wrong ", "bold red"), (where, "bold"), f": {error['message']}"))
