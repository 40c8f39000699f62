"""The demo, act by act: services, fleet, orders, power on, summary."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from libs.simulator.fleet import simulate
from libs.simulator.options import Target, Timing
from libs.simulator.stages import Progress, Result
from services.cli.api import Api
from services.cli.board import Board
from services.cli.demo import fleet, stock, summary, verdict
from services.cli.demo.deployment import Deployment, prepare, running
from services.cli.demo.verdict import Story
from services.cli.errors import EXIT_FAILED
from services.cli.output import plural, print_json
from services.cli.scene import Scene

LOOPBACK = IPv4Address("127.0.0.1")
TIMING = Timing(install=4.0)
POWER_ON_RATE = 12.0  # machines a second: racks are powered on one after the other
SETTLING = 45.0  # seconds that the inventory may take to know what the last machine did
LIMIT = 300.0  # seconds that one machine may take
PAUSE = 0.5  # seconds between two looks at all timelines
READERS = 8  # timelines that are read at once
DONE = ("booted", "failed", "cancelled")


class Show:
    """`run` returns the exit code: 0 if every machine was installed and every timeline is as it should be."""

    def __init__(self, data: Path, machines: int, console: Console, *, as_json: bool) -> None:
        self._data = data
        self._specs = fleet.machines(machines)
        self._console = console
        self._as_json = as_json
        self._scene = Scene([spec.name for spec in self._specs])

    async def run(self) -> int:
        """All of it. Raises Failed where the services do not come up."""
        self._say(f"data, settings and logs are in {self._data}")
        config = prepare(self._data)
        async with running(config, self._scene.notice) as deployment:
            self._say(f"four services and the bus run; the API is at http://{deployment.settings.inventory.listen}")
            self._stock(deployment)
            async with Api(deployment.settings) as api:
                stories, seconds = await self._play(deployment, api)
        faults = verdict.faults(stories)
        if self._as_json:
            print_json(summary.document(stories, faults, seconds, self._scene.restarts))
        else:
            self._console.print(summary.text(stories, faults, seconds))
        return EXIT_FAILED if faults else 0

    def _say(self, text: str) -> None:
        if not self._as_json:
            self._console.print(text, style="dim")

    def _stock(self, deployment: Deployment) -> None:
        stock.make_image(deployment.settings)
        if missing := stock.stand_in_loaders(deployment.settings):
            self._say(f"no package of this host brings {', '.join(missing)}: stand-in files are served in their place")

    async def _play(self, deployment: Deployment, api: Api) -> tuple[list[Story], float]:
        declared = fleet.declaration(self._specs)
        (self._data / "fleet.yaml").write_text(yaml.safe_dump(declared, sort_keys=False), "utf-8")
        await api.post("/v1/apply", declared)
        self._say(f"{plural(len(self._specs), 'machine')} declared in {self._data / 'fleet.yaml'}; installs ordered")
        ordered = await api.post("/v1/installs", {"selector": "all"})
        began = time.monotonic()
        board = Board("kickfleet demo", self._scene, self._console)
        watching = asyncio.create_task(self._watch(api, ordered["items"][0]["ordered_at"]), name="watch")
        try:
            async with board.shown(quietly=self._as_json):
                results = await self._power_on(deployment)
                with suppress(TimeoutError):
                    async with asyncio.timeout(SETTLING):
                        await watching
        finally:
            watching.cancel()
        seconds = time.monotonic() - began
        return await self._settled(api, ordered["items"], results), seconds

    async def _settled(self, api: Api, installs: list[dict[str, Any]], results: Sequence[Result]) -> list[Story]:
        """The timelines, once everything is in them: what a service said last may still be on its way."""
        deadline = time.monotonic() + SETTLING
        while True:
            stories = await self._stories(api, installs, results)
            if not verdict.faults(stories) or time.monotonic() > deadline:
                return stories
            await asyncio.sleep(PAUSE)

    async def _power_on(self, deployment: Deployment) -> Sequence[Result]:
        settings = deployment.settings
        target = Target(LOOPBACK, fleet.RELAY, settings.dhcp.port, settings.tftp.listen.port)
        spread = len(self._specs) / POWER_ON_RATE
        return await simulate(target, self._specs, report=_ignore, timing=TIMING, spread=spread, limit=LIMIT)

    async def _watch(self, api: Api, since: str) -> None:
        """Until the inventory knows of every machine that it is done."""
        async for event in api.stream(since=since):
            self._scene.take(event)
            if all(self._scene.states.get(name) in DONE for name in self._scene.machines):
                return

    async def _stories(self, api: Api, installs: list[dict[str, Any]], results: Sequence[Result]) -> list[Story]:
        by_name = {result.name: result for result in results}
        at_once = asyncio.Semaphore(READERS)

        async def story(install: dict[str, Any]) -> Story:
            async with at_once:
                timeline = await api.get(f"/v1/installs/{install['id']}/timeline")
            return Story(by_name[install["machine"]], timeline)

        return list(await asyncio.gather(*(story(install) for install in installs)))


def _ignore(_: Progress) -> None:
    """The board shows what the services know, not what the machines say of themselves."""
