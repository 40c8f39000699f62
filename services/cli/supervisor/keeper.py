"""Keeps one program alive until it is told to let it go."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path

from services.cli.errors import EXIT_WRONG_USE
from services.cli.supervisor.notices import Notice, Say
from services.cli.supervisor.programs import Program
from services.cli.supervisor.runfiles import write_pid

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds before a program is started again
STEADY = 20.0  # seconds after which a program counts as healthy again


class SetUpWrongly(Exception):
    """A program refused its settings; it has said why on standard error."""


class Keeper:
    """Starts a program, and starts it again after a pause that grows while it keeps failing.

    A program that exits with code 2 before it was ever ready is set up wrongly: to try again would not help.
    """

    def __init__(self, program: Program, run: Path, say: Say) -> None:
        self.program = program
        self.name = program.name
        self.served = False  # it was ready once
        self._run = run
        self._say = say
        self._halt = asyncio.Event()
        self._began = 0.0
        self._pause = FIRST_PAUSE

    def let_go(self) -> None:
        """Have `keep` stop the program and return."""
        self._halt.set()

    async def start(self) -> None:
        """Start the program. Raises OSError."""
        self._began = time.monotonic()
        pid = await self.program.start()
        write_pid(self._run, self.name, pid)

    async def keep(self, *, running: bool = False) -> None:
        """Watch the program (`running`: it is started already) until `let_go`. Raises SetUpWrongly."""
        while not self._halt.is_set():
            if running or await self._started():
                await self._watch()
            running = False
            await self._rest()

    async def _started(self) -> bool:
        try:
            await self.start()
        except OSError as error:
            self._say(Notice("restarting", self.name, f"does not start: {error}; trying again in {self._pause:g} s"))
            return False
        return True

    async def _watch(self) -> None:
        ended = asyncio.create_task(self.program.wait(), name=f"end of {self.name}")
        halted = asyncio.create_task(self._halt.wait(), name=f"halt of {self.name}")
        await asyncio.wait({ended, halted}, return_when=asyncio.FIRST_COMPLETED)
        if self._halt.is_set():
            await self.program.stop()
        code, last = await ended
        halted.cancel()
        write_pid(self._run, self.name, None)
        if not self._halt.is_set():
            self._judge(code, last)

    def _judge(self, code: int, last: str) -> None:
        if code == EXIT_WRONG_USE and not self.served:
            raise SetUpWrongly(self.name)
        if time.monotonic() - self._began > STEADY:
            self._pause = FIRST_PAUSE
        self._say(Notice("restarting", self.name, f"{_ending(code, last)}; starting again in {self._pause:g} s"))

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._halt.wait()
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def _ending(code: int, last: str) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    said = f" ({last if len(last) <= 200 else f'{last[:199]}…'})" if code and last else ""
    return f"ended with exit code {code}{said}"
