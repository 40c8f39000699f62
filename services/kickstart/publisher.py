"""Keeps every machine's boot files on the bus as they should be.

A machine's files are rendered again when its document, its subnet, its lease or a template changes. A template that
has become wrong takes nothing away from a machine in the middle of its install: its last good files stay.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from libs.bus import Bus, BusUnavailable, Writer
from libs.desired import BOOTFILES, BootFilesDocument, MachineDocument
from services.kickstart.fleet import Fleet
from services.kickstart.orders import Orders
from services.kickstart.sandbox import Problem, RenderError
from services.kickstart.workshop import Workshop

OnProblem = Callable[[MachineDocument, Problem], None]


class Publisher:
    """Run `run` and the writer's `run` as tasks. `on_problem` hears, once, why a machine's files could not be made."""

    def __init__(
        self,
        fleet: Fleet,
        orders: Orders,
        workshop: Workshop,
        bus: Bus,
        log: FilteringBoundLogger,
        on_problem: OnProblem,
    ) -> None:
        self._fleet = fleet
        self._orders = orders
        self._workshop = workshop
        self._bus = bus
        self._log = log
        self._on_problem = on_problem
        self._current: dict[str, BootFilesDocument] = {}
        self._reported: dict[str, Problem] = {}
        self._waiting: dict[str, None] = {}  # a set in its order
        self._wake = asyncio.Event()
        self.complete = False  # whether the whole fleet is known: only then is a machine that is not in it gone
        self.writer: Writer = bus.writer(BOOTFILES)

    # --- what others tell and ask ---------------------------------------------------------------------------

    def loaded(self, name: str, value: dict[str, Any] | None) -> None:
        """What the bus has of a machine. Raises ValueError for a document that cannot be read.

        It counts as last good until we have made our own; what the bus has lost is given to it again.
        """
        if value is not None:
            self._current.setdefault(name, BootFilesDocument.model_validate(value))
        elif name in self._current and self._fleet.machine(name):
            self._write(name)

    def reconcile(self, on_bus: Mapping[str, dict[str, Any]]) -> None:
        """Now that the fleet and the bus are known: write what differs, remove what belongs to no machine."""
        self.complete = True
        for name in self._current:
            if on_bus.get(name) != self._current[name].model_dump(mode="json"):
                self._write(name)
        self.all_changed()

    def machine_changed(self, name: str) -> None:
        """Have a machine's files looked at, soon."""
        self._waiting[name] = None
        self._wake.set()

    def all_changed(self) -> None:
        """Have all machines' files looked at, soon."""
        self._waiting |= dict.fromkeys([*self._fleet.names(), *(self._current if self.complete else ())])
        self._wake.set()

    async def files_of(self, name: str) -> BootFilesDocument | None:
        """The boot files of a machine that are in force; made now where those at hand are of another install."""
        machine, current = self._fleet.machine(name), self._current.get(name)
        wanted = machine.install.id if machine and machine.install else None
        if current is None or current.install_id != wanted:
            await self._refresh_until_settled(name)
        return self._current.get(name)

    async def confirm_ended(self, name: str, install_id: str) -> None:
        """Return when the bus has boot files of the machine that do not run that install. Raises BusUnavailable."""
        await self._refresh_until_settled(name)
        document = self._current.get(name)
        if document is None:
            await self._bus.delete(BOOTFILES, name)
        elif document.install_id == install_id:
            raise BusUnavailable("the machine's way to its disk could not be written")
        else:
            await self._bus.put(BOOTFILES, name, document.model_dump(mode="json"))

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                if not await self._refresh(name):
                    self._waiting[name] = None

    # --- how --------------------------------------------------------------------------------------------------

    async def _refresh(self, name: str) -> bool:
        """Make a machine's files and have them written. False where it changed meanwhile: they are to be made again."""
        machine = self._fleet.machine(name)
        document = await self._made(machine) if machine and machine.netboot != "deny" else None
        if self._fleet.machine(name) != machine:
            return False
        if document == self._current.get(name):
            return True
        if document:
            self._current[name] = document
        else:
            del self._current[name]
        self._write(name)
        return True

    async def _refresh_until_settled(self, name: str) -> None:
        while not await self._refresh(name):
            self._log.debug("a machine changed while its boot files were made", machine=name)

    def _write(self, name: str) -> None:
        document = self._current.get(name)
        self.writer.set(name, document.model_dump(mode="json") if document else None)

    async def _made(self, machine: MachineDocument) -> BootFilesDocument | None:
        """The files of a machine; where its templates are wrong the last good ones, or the way to its disk."""
        try:
            document = await self._workshop.boot_files(self._orders.of(machine))
        except RenderError as error:
            self._report(machine, error.problem)
            return self._last_good(machine) or await self._to_disk(machine)
        else:
            self._reported.pop(machine.name, None)
            return document

    def _last_good(self, machine: MachineDocument) -> BootFilesDocument | None:
        """What is in force, if it is for the install that the machine is to run, or sends it to its disk."""
        current = self._current.get(machine.name)
        if current is None or current.boots == "disk":
            return current
        return current if machine.install and current.install_id == machine.install.id else None

    async def _to_disk(self, machine: MachineDocument) -> BootFilesDocument | None:
        disk = machine.model_copy(update={"netboot": "disk", "install": None})
        try:
            return await self._workshop.boot_files(self._orders.of(disk))
        except RenderError as error:
            self._log.debug("a machine has no boot files", machine=machine.name, error=str(error))
            return None

    def _report(self, machine: MachineDocument, problem: Problem) -> None:
        if self._reported.get(machine.name) != problem:
            self._reported[machine.name] = problem
            self._on_problem(machine, problem)
