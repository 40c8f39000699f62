"""`install`, `cancel`, `retry`: orders, and waiting for them to be carried out."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from rich.text import Text

from services.cli.api import Api
from services.cli.board import Board
from services.cli.errors import EXIT_FAILED
from services.cli.names import install_of
from services.cli.output import console, plural, print_json, print_json_line, state_text
from services.cli.scene import Scene
from services.cli.verbs import Cli, awaited, verb

SUCCEEDED = ("installed", "booted")
SETTLED = (*SUCCEEDED, "failed", "cancelled", "stalled")
FOLLOWED = "state.changed,install.*,answers.failed,transfer.failed,bootconfig.fetched,kernel.fetched,lease.acknowledged"
WAIT = click.option("--wait", is_flag=True, help="Wait until all are installed, failed, cancelled or stalled.")
TIMEOUT = click.option(
    "--timeout", type=click.FloatRange(0), metavar="SECONDS", help="With --wait: no longer than this."
)

Install = dict[str, Any]


@verb("install")
@click.argument("selector", nargs=-1, required=True)
@click.option("--profile", help="With this profile instead of the machines' own.")
@WAIT
@TIMEOUT
@awaited
async def install(cli: Cli, selector: tuple[str, ...], profile: str | None, wait: bool, timeout: float | None) -> int:
    """Order installs, and wait for them.

    SELECTOR names machines (node01, node*), or says what holds for them (rack=r7 profile=web), or is all. With --wait
    the exit code is 0 only if every machine was installed.
    """
    async with Api(cli.settings) as api:
        answer = await api.post("/v1/installs", {"selector": ",".join(selector), "profile": profile})
        return await _ordered(cli, api, answer["items"], answer["warnings"], wait=wait, timeout=timeout)


@verb("retry")
@click.argument("targets", metavar="INSTALL…", nargs=-1, required=True)
@WAIT
@TIMEOUT
@awaited
async def retry(cli: Cli, targets: tuple[str, ...], wait: bool, timeout: float | None) -> int:
    """Order installs again.

    INSTALL is an install's id, or a machine's name for its latest one.
    """
    async with Api(cli.settings) as api:
        found = [await install_of(api, target) for target in targets]
        again = [await api.post(f"/v1/installs/{one['id']}:retry") for one in found]
        return await _ordered(cli, api, again, [], wait=wait, timeout=timeout)


@verb("cancel")
@click.argument("targets", metavar="INSTALL…", nargs=-1, required=True)
@awaited
async def cancel(cli: Cli, targets: tuple[str, ...]) -> int:
    """Withdraw installs.

    INSTALL is an install's id, or a machine's name for its latest one. The machine boots its disk from then on.
    """
    async with Api(cli.settings) as api:
        found = [await install_of(api, target) for target in targets]
        cancelled = [await api.post(f"/v1/installs/{one['id']}:cancel") for one in found]
    if cli.as_json:
        print_json(cancelled)
    for one in [] if cli.as_json else cancelled:
        console().print(Text.assemble((one["machine"], "bold"), " ", state_text(one["state"]), f"  ({one['id']})"))
    return 0


async def _ordered(
    cli: Cli, api: Api, installs: list[Install], warnings: Sequence[str], *, wait: bool, timeout: float | None
) -> int:
    if not cli.as_json:
        for one in installs:
            console().print(
                Text.assemble((one["machine"], "bold"), f" is to be installed with {one['profile']}  ({one['id']})")
            )
        for warning in warnings:
            console(error=True).print(Text.assemble(("warning ", "yellow"), warning))
    elif not wait:
        print_json({"installs": installs, "warnings": list(warnings)})
    return await _wait(cli, api, installs, timeout) if wait else 0


async def _wait(cli: Cli, api: Api, installs: list[Install], timeout: float | None) -> int:
    scene = Scene([one["machine"] for one in installs], {one["machine"]: one["state"] for one in installs})
    in_time = True
    try:
        async with asyncio.timeout(timeout):
            await _follow(cli, api, installs, scene)
    except TimeoutError:
        in_time = False
    final = [await api.get(f"/v1/installs/{one['id']}") for one in installs]
    succeeded = sum(one["state"] in SUCCEEDED for one in final)
    if cli.as_json:
        print_json_line({"kind": "result", "ok": succeeded == len(final), "in_time": in_time, "installs": final})
    else:
        _tell(final, succeeded, in_time=in_time)
    return 0 if succeeded == len(final) else EXIT_FAILED


async def _follow(cli: Cli, api: Api, installs: list[Install], scene: Scene) -> None:
    """Show the progress until every install has settled; of several on a machine only these count."""
    ids = {one["id"] for one in installs}
    since = min(one["ordered_at"] for one in installs)
    async with Board("kickfleet install", scene, console()).shown(quietly=cli.as_json):
        async for event in api.stream(since=since, type=FOLLOWED):
            if event["data"].get("install_id") not in ids:
                continue
            scene.take(event)
            if cli.as_json:
                print_json_line(event)
            if all(scene.states[name] in SETTLED for name in scene.machines):
                return


def _tell(final: list[Install], succeeded: int, *, in_time: bool) -> None:
    out = console()
    for one in final:
        if one["state"] not in SUCCEEDED:
            reason = f": {one['reason']}" if one["reason"] else ""
            line = Text.assemble((one["machine"], "bold"), " is ", state_text(one["state"]), reason)
            out.print(line, Text(f" (`kickfleet why {one['machine']}`)", style="dim"))
    out.print(f"{succeeded} of {plural(len(final), 'machine')} installed" + ("" if in_time else "; the time is up"))
