"""`doctor`: checks of the host and of the deployment, each with its remedy."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import chain

from rich.text import Text

from libs.settings import Settings
from services.cli.api import Api
from services.cli.doctor import deployment, files, host, ports, transfers
from services.cli.doctor.finding import Finding, warn
from services.cli.errors import EXIT_FAILED, CliError
from services.cli.output import console, plural, print_json
from services.cli.verbs import Cli, awaited, verb

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@verb("doctor")
@awaited
async def doctor(cli: Cli) -> int:
    """Check this host and what runs on it."""
    findings = [*await _findings(cli.settings)]
    failed = sum(finding.level == "fail" for finding in findings)
    if cli.as_json:
        print_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    return EXIT_FAILED if failed else 0


async def _findings(settings: Settings) -> Iterator[Finding]:
    answers = await deployment.readiness(settings)
    running = {name for name, answer in answers.items() if answer}
    if any(answer and answer.bus == "connected" for answer in answers.values()):
        running.add("nats")
    return chain(
        host.clock(settings),
        host.data_folder(settings),
        host.token(settings),
        ports.ports(settings, running),
        ports.raw_socket(settings, answers["dhcp"]),
        deployment.services(answers),
        deployment.bus(settings),
        await asyncio.to_thread(list, transfers.tftp(settings, running)),
        files.loaders(settings),
        files.templates(settings),
        await _fleet(settings) if "inventory" in running or settings.inventory.url else iter(()),
    )


async def _fleet(settings: Settings) -> Iterator[Finding]:
    """What only the declared fleet tells."""
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    try:
        async with Api(settings) as api:
            images = [image async for image in api.pages("/v1/images")]
            subnets = [subnet async for subnet in api.pages("/v1/subnets")]
            rivals = [event async for event in api.pages("/v1/events", type="rival.detected", since=since)]
    except CliError as error:
        return iter([warn("fleet", str(error), "the checks of images, subnets and rivals were left out")])
    return chain(files.images(settings, images), deployment.subnets(subnets), deployment.rivals(rivals))


def _print(findings: Iterable[Finding]) -> None:
    out, counts = console(), {"ok": 0, "warn": 0, "fail": 0}
    for finding in findings:
        counts[finding.level] += 1
        mark = (f"{finding.level:<5}", STYLES[finding.level])
        out.print(Text.assemble(mark, (f"{finding.check:<10}", "bold"), finding.message))
        if finding.remedy:
            out.print(Text(f"{'':15}→ {finding.remedy}", style="dim"))
    out.print(f"\n{plural(counts['fail'], 'failure')}, {plural(counts['warn'], 'warning')}")
