"""Everything of one deployment on this host: started in order, kept alive, ended in order."""

import asyncio
import errno
import sys
from functools import partial
from pathlib import Path

import httpx

from libs.service import bind_error
from libs.settings import Settings
from services.cli.errors import EXIT_WRONG_USE, WrongUse
from services.cli.supervisor import runfiles
from services.cli.supervisor.keeper import Keeper, SetUpWrongly
from services.cli.supervisor.notices import Notice, Say
from services.cli.supervisor.programs import SERVICES, BusProgram, ServiceProgram
from services.cli.supervisor.readiness import wait_ready

PATIENCE = 10.0  # seconds after which an unready service is worth a word


class Supervisor:
    """`run` returns the exit code; set `stop` to end it. `config` is what the services read as well."""

    def __init__(self, settings: Settings, config: Path | None, say: Say) -> None:
        self._settings = settings
        self._run = settings.data / "run"
        self._say = say
        self._muted = False
        self._bus = None if settings.bus.url else Keeper(BusProgram(settings), self._run, say)
        self._services = [
            Keeper(ServiceProgram(name, settings, config, self._write), self._run, say) for name in SERVICES
        ]

    async def run(self, stop: asyncio.Event) -> int:
        """Everything from the first start to the last end. Raises WrongUse."""
        with runfiles.claimed(self._run):
            bus = await self._start_bus()
            services = [asyncio.create_task(keeper.keep(), name=keeper.name) for keeper in self._services]
            greeter = asyncio.create_task(self._greet(), name="greeter")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            try:
                await asyncio.wait({stopping, greeter, *services, *bus}, return_when=asyncio.FIRST_COMPLETED)
                failures = [task.exception() for task in (greeter, *services, *bus) if task.done()]
                return self._verdict([failure for failure in failures if failure])
            finally:
                for task in (greeter, stopping):
                    task.cancel()
                await self._let_go(self._services, services)
                await self._let_go([self._bus] if self._bus else [], bus)

    def _verdict(self, failures: list[BaseException]) -> int:
        if not failures:
            self._say(Notice("stopping", "kickfleet", "stops: the services first, then the bus"))
            return 0
        if not isinstance(failures[0], SetUpWrongly):
            raise failures[0]
        self._muted = True  # what the service said is the message: how the others end is of no interest
        refusal = "is set up wrongly, as it says above; everything stops"
        self._say(Notice("refused", str(failures[0]), refusal))
        return EXIT_WRONG_USE

    async def _start_bus(self) -> list["asyncio.Task[None]"]:
        """Before the services, so that a bus that cannot run stops everything while nothing is there yet."""
        if not self._bus:
            return []
        try:
            await self._bus.start()
        except OSError as error:
            raise self._explained(error) from None
        address = runfiles.announced(self._settings, "nats")
        self._say(Notice("listening", "nats", f"listens on {address}", str(address)))
        return [asyncio.create_task(self._bus.keep(running=True), name="nats")]

    def _explained(self, error: OSError) -> WrongUse:
        what, where = "the embedded NATS server", f"tcp {self._settings.bus.listen}"
        for number, text in ((errno.EADDRINUSE, "address already in use"), (errno.EACCES, "permission denied")):
            if text in str(error):
                return WrongUse(str(bind_error(OSError(number, text), what, where)))
        return WrongUse(f"{what} does not start: {error}")

    async def _let_go(self, keepers: list[Keeper], tasks: list["asyncio.Task[None]"]) -> None:
        for keeper in keepers:
            keeper.let_go()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what is said at the beginning ----------------------------------------------------------------------

    async def _greet(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            await asyncio.gather(*(self._greet_one(keeper, client) for keeper in self._services))
        api = runfiles.announced(self._settings, "inventory")
        token = self._settings.data / "admin.token"
        self._say(
            Notice("up", "kickfleet", f"API at http://{api}, described at /docs; admin token in {token}", str(api))
        )
        await asyncio.Event().wait()

    async def _greet_one(self, keeper: Keeper, client: httpx.AsyncClient) -> None:
        patience: float | None = PATIENCE
        page = partial(runfiles.status_page, self._settings, keeper.name)
        while not ((answer := await wait_ready(keeper.name, page, client, patience)) and answer.ready):
            missing = "; ".join(answer.missing) if answer else "it does not answer"
            self._say(Notice("waiting", keeper.name, f"is not ready: {missing}"))
            patience = None
        keeper.served = True
        address = runfiles.announced(self._settings, keeper.name)
        self._say(Notice("ready", keeper.name, f"listens on {address}", str(address)))

    def _write(self, text: bytes) -> None:
        if not self._muted:
            sys.stderr.buffer.write(text)
            sys.stderr.buffer.flush()
