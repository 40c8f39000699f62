"""`simulate`: simulated machines against any deployment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from ipaddress import IPv4Address
from typing import Any

import click
from rich.text import Text

from libs.mac import MacError
from libs.simulator.errors import SimulationError
from libs.simulator.fleet import FIRST_MAC, LIMIT, mixed
from libs.simulator.fleet import simulate as run
from libs.simulator.options import Abort, Firmware, MachineSpec, Misbehaviour, Target, Timing
from libs.simulator.stages import Progress, Result, Stage
from services.cli.api import Api
from services.cli.errors import EXIT_FAILED, Failed, WrongUse
from services.cli.names import named
from services.cli.output import console, duration, plural, print_json_line, size
from services.cli.verbs import Cli, awaited, verb

STAGES = click.Choice([str(stage) for stage in Stage])


def _address(_: click.Context, option: click.Parameter, value: str | None) -> IPv4Address | None:
    try:
        return IPv4Address(value) if value else None
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an IPv4 address", param=option) from None


def _mix(_: click.Context, option: click.Parameter, value: str) -> Mapping[Firmware, int]:
    shares = {}
    for part in value.split(","):
        kind, _sign, share = part.strip().partition("=")
        try:
            shares[Firmware(kind)] = int(share or 1)
        except ValueError:
            known = ", ".join(Firmware)
            raise click.BadParameter(f"{part!r} is no share of {known}; write bios=2,uefi=1", param=option) from None
    return shares


@verb("simulate")
@click.argument("count", type=click.IntRange(1, 20_000), required=False)
@click.option("--registered", metavar="MACHINES", help="Registered ones instead: node01,node02, or rack=r7, or all.")
@click.option("--relay", callback=_address, required=True, help="Address of this host, in the subnet, to relay from.")
@click.option("--dhcp", callback=_address, help="The DHCP server (default: the relay's own host).")
@click.option("--dhcp-port", type=click.IntRange(1, 65535), help="Default: `dhcp.port`.")
@click.option("--tftp-port", type=click.IntRange(1, 65535), help="Default: the port of `tftp.listen`.")
@click.option("--firmware", callback=_mix, default="bios=1,uefi=1,ipxe=1", show_default=True, help="Kinds and shares.")
@click.option("--first-mac", default=FIRST_MAC, show_default=True, help="Of the made-up machines.")
@click.option("--spread", default=1.0, show_default=True, help="Seconds within which all are powered on.")
@click.option("--pace", default=1.0, show_default=True, help="0.1: ten times as impatient.")
@click.option("--limit", default=LIMIT, show_default=True, help="Seconds that one machine may take.")
@click.option("--stop-at", type=STAGES, help="Fall silent at a stage.")
@click.option("--power-cycle-at", type=STAGES, help="Be switched off and on once, at a stage.")
@click.option("--abort-at", type=STAGES, help="Break off the transfer of a stage, once.")
@click.option("--loss", type=click.FloatRange(0, 0.9), default=0.0, help="Probability that a datagram is lost.")
@click.option("--callbacks", type=click.IntRange(0, 10), default=1, help="How often each callback is made.")
@click.option("--fails", default="", metavar="REASON", help="The installer gives up with this reason.")
@click.option("--seed", default=0, help="Another seed, other losses.")
@awaited
async def simulate(cli: Cli, **options: Any) -> int:
    """Power on simulated machines.

    COUNT machines with hardware addresses in a row, or --registered ones. They speak DHCP through a relay agent at
    --relay, an address of this host within the subnet (on loopback any 127.x.y.z will do).
    """
    machines = await _machines(cli, options)
    target = _target(cli, options)
    report = _json_report if cli.as_json else _line_report
    try:
        timing = Timing(pace=options["pace"])
        results = await run(
            target, machines, report=report, timing=timing, spread=options["spread"], limit=options["limit"]
        )
    except SimulationError as error:
        raise Failed(str(error)) from None
    except ValueError as error:
        raise WrongUse(str(error)) from None
    _sum_up(cli, results)
    return 0 if all(result.ok for result in results) else EXIT_FAILED


def _target(cli: Cli, options: Mapping[str, Any]) -> Target:
    relay = options["relay"]
    listen = cli.settings.dhcp.listen
    own = relay if listen == "0.0.0.0" else IPv4Address(listen)
    return Target(
        dhcp=options["dhcp"] or own,
        relay=relay,
        dhcp_port=options["dhcp_port"] or cli.settings.dhcp.port,
        tftp_port=options["tftp_port"] or cli.settings.tftp.listen.port,
    )


async def _machines(cli: Cli, options: Mapping[str, Any]) -> list[MachineSpec]:
    if (options["count"] is None) == (options["registered"] is None):
        raise WrongUse("say either how many machines, or which registered ones with --registered")
    try:
        misbehaviour = _misbehaviour(options)
        count = options["count"] or 0
        if options["registered"]:
            known = await _registered(cli, options["registered"])
            count = len(known)
        made_up = mixed(count, options["firmware"], first=options["first_mac"], seed=options["seed"])
    except (MacError, ValueError) as error:
        raise WrongUse(str(error)) from None
    specs = [replace(spec, misbehaviour=misbehaviour) for spec in made_up]
    if not options["registered"]:
        return specs
    return [
        replace(spec, mac=machine["macs"][0], name=machine["name"]) for spec, machine in zip(specs, known, strict=True)
    ]


async def _registered(cli: Cli, wanted: str) -> list[dict[str, Any]]:
    async with Api(cli.settings) as api:
        if wanted != "all" and "=" not in wanted:
            return [await named(api, "machines", name) for name in wanted.split(",")]
        tags = None if wanted == "all" else wanted.split(",")
        return [machine async for machine in api.pages("/v1/machines", tag=tags)]


def _misbehaviour(options: Mapping[str, Any]) -> Misbehaviour:
    def stage(name: str) -> Stage | None:
        return Stage(options[name]) if options[name] else None

    abort = stage("abort_at")
    return Misbehaviour(
        stop_at=stage("stop_at"),
        power_cycle_at=stage("power_cycle_at"),
        abort=Abort(abort) if abort else None,
        loss=options["loss"],
        callbacks=options["callbacks"],
        fails=options["fails"],
    )


def _line_report(progress: Progress) -> None:
    what = Text(str(progress.stage), style="cyan") if progress.stage else Text("trouble", style="yellow")
    line = Text.assemble((f"{progress.at:7.2f} s  ", "dim"), (f"{progress.name}  ", "bold"), what)
    console().print(line, Text(progress.detail, style="dim"))


def _json_report(progress: Progress) -> None:
    print_json_line({"kind": "progress", **asdict(progress)})


def _sum_up(cli: Cli, results: Sequence[Result]) -> None:
    if cli.as_json:
        for result in results:
            print_json_line({"kind": "result", "ok": result.ok, **asdict(result)})
        return
    outcomes = Counter(str(result.outcome) for result in results)
    longest = max((max(result.stages.values(), default=0.0) for result in results), default=0.0)
    total = size(sum(result.bytes for result in results))
    counted = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    out = console()
    out.print(f"\n{plural(len(results), 'machine')}: {counted}; {total} received in {duration(longest)}")
    for result in results:
        if not result.ok:
            out.print(Text.assemble((f"  {result.name} ", "bold"), (f"{result.outcome}: {result.reason}", "red")))
