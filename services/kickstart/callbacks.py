"""Callbacks of installers: each is an event once, however often it is made; `done` ends the install."""

from collections.abc import Callable
from typing import Any

from structlog.typing import FilteringBoundLogger

from libs.events import Event, InstallDone, InstallFailed, InstallProgress, InstallStarted, derived_id
from services.kickstart.installs import DONE, Installs
from services.kickstart.publisher import Publisher
from services.kickstart.reports import Report
from services.kickstart.store import Install

STARTED, PROGRESS, FAILED = "started", "progress", "failed"
KINDS = (STARTED, PROGRESS, DONE, FAILED)


class Callbacks:
    """Takes the callbacks of all installs."""

    def __init__(
        self, installs: Installs, publisher: Publisher, emit: Callable[[Event], None], log: FilteringBoundLogger
    ) -> None:
        self._installs = installs
        self._publisher = publisher
        self._emit = emit
        self._log = log

    async def take(self, token: str, kind: str, report: Report, ip: str) -> None:
        """Take one callback; returns when it may be answered with success.

        The event is recorded before the callback counts as given, under an id that a repetition shares: whenever this
        process dies, the installer's next attempt completes what is missing. A `done` succeeds only when the machine's
        next boot is known to be from its disk. Raises UnknownToken, InstallEnded, TooMany, BusUnavailable.
        """
        install = self._installs.of(token)
        mark = _mark(kind, report)
        if not self._installs.has_given(install.id, mark):
            self._installs.running(token)
            if kind == PROGRESS:
                self._installs.check_room(install.id)
            self._emit(_event(install, kind, mark, report, ip))
            self._installs.give(install, mark)
            self._log.info(_SENTENCES[kind], machine=install.machine, install=install.id, detail=report.message[:200])
        if kind == DONE:
            await self._publisher.confirm_ended(install.machine, install.id)


_SENTENCES = {
    STARTED: "the installer began its work",
    PROGRESS: "the installer reached a phase",
    DONE: "the installer reports that the system is on the disk",
    FAILED: "the installer gave up",
}


def _mark(kind: str, report: Report) -> str:
    """What makes two callbacks the same one: progress is told apart by what it says."""
    if kind != PROGRESS:
        return kind
    return f"{kind}/{derived_id(report.phase, str(report.percent), report.message)}"


def _event(install: Install, kind: str, mark: str, report: Report, ip: str) -> Event:
    about: dict[str, Any] = {"mac": install.mac or None, "machine": install.machine, "install_id": install.id, "ip": ip}
    event_id = derived_id(install.id, mark)
    if kind == PROGRESS:
        return InstallProgress(**about, id=event_id, phase=report.phase, percent=report.percent, message=report.message)
    if kind == FAILED:
        return InstallFailed(**about, id=event_id, reason=report.message)
    return (InstallDone if kind == DONE else InstallStarted)(**about, id=event_id)
