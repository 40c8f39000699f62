"""Turns installs `stalled` whose state lasted longer than it may, with the reason that the evidence gives.

It judges only what it can see: while the bus is away, or events still wait to be folded, a machine may be further
than is known here. What passed while inventory itself was down is judged as soon as it has caught up.
"""

import asyncio
from datetime import datetime

from structlog.typing import FilteringBoundLogger

from libs.bus import Bus, BusUnavailable
from libs.envelope import derived_id
from libs.events import InstallStalled
from services.inventory.cases import case_of
from services.inventory.chronicle import Effects
from services.inventory.diagnosis import diagnose
from services.inventory.ledger import Ledger, Work
from services.inventory.projector import Projector
from services.inventory.repository import installs
from services.inventory.repository.database import Conflict, DatabaseUnavailable
from services.inventory.repository.installs import Install

AT_ONCE = 100  # installs that one transaction turns
LONGEST_NAP = 60.0  # seconds
GRACE = 5.0  # seconds after the bus came back, in which the other services publish what they kept meanwhile
BLIND = 1.0  # seconds until it looks again whether it sees


class Watchdog:
    """Start it as a task (`run`); `follow` listens to transactions."""

    def __init__(self, ledger: Ledger, bus: Bus, projector: Projector, log: FilteringBoundLogger) -> None:
        self._ledger = ledger
        self._bus = bus
        self._projector = projector
        self._log = log
        self._wake = asyncio.Event()
        self._generation = 0
        self._turned: set[str] = set()

    def follow(self, effects: Effects) -> None:
        """Look again: a deadline may have changed."""
        if effects.deadlines:
            self._wake.set()

    async def run(self) -> None:
        """Watch for ever."""
        await self._projector.caught_up.wait()
        while True:
            self._wake.clear()
            try:
                nap = await self._look()
            except (DatabaseUnavailable, Conflict) as error:
                self._log.error("deadlines wait for the database", error=str(error))
                nap = BLIND
            try:
                async with asyncio.timeout(nap):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> float:
        """Turn what is overdue; returns the seconds until something may be."""
        due = await self._ledger.read(installs.next_deadline)
        if due is None:
            return LONGEST_NAP
        wait = (due - self._ledger.clock()).total_seconds()
        if wait > 0:
            return min(wait, LONGEST_NAP)
        if not await self._sees():
            return BLIND
        turned = await self._ledger.transact(turn_overdue)
        # One that will not turn (its clock is ahead of ours) must not keep us busy.
        again, self._turned = turned == self._turned, turned
        return BLIND if again else 0.0

    async def _sees(self) -> bool:
        """Whether all that happened is known here."""
        if not self._bus.connected:
            return False
        if self._generation != self._bus.generation:
            generation = self._bus.generation
            await asyncio.sleep(GRACE if self._generation else 0)
            self._generation = generation
        try:
            return await self._bus.last_sequence() <= self._projector.position and self._bus.connected
        except BusUnavailable:
            return False


def turn_overdue(work: Work) -> set[str]:
    """Let every overdue install be stalled; returns which were."""
    found = installs.overdue(work.session, work.now, AT_ONCE)
    work.record(*(_stall(work, install) for install in found))
    return {install.id for install in found}


def _stall(work: Work, install: Install) -> InstallStalled:
    since: datetime = install.life.entered or install.ordered_at
    diagnosis = diagnose(case_of(work.session, install), install.limits, work.now)
    return InstallStalled(
        id=derived_id(install.id, InstallStalled.TYPE, str(install.life.milestone), since.isoformat()),
        time=work.now,
        mac=install.mac,
        machine=install.machine,
        install_id=install.id,
        state=str(install.life.milestone),
        expected=diagnosis.expected,
        waited=int((work.now - since).total_seconds()),
        reason=diagnosis.cause,
    )
