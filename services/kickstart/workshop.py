"""The service's side of the worker: asks it, waits, and starts another one when it died of a template."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libs.desired import BootFilesDocument
from services.kickstart.facts import Order
from services.kickstart.render import Answers, Inspection
from services.kickstart.sandbox import Problem, RenderError
from services.kickstart.worker import LENGTH, MAX_MESSAGE, encode_message

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds of waiting for an answer; the worker's own bound on processor time comes long before


class Workshop:
    """Renders in another process, one order at a time. `on_broken` hears of templates that are passed over."""

    def __init__(self, site: Path, on_broken: Callable[[list[Problem]], None]) -> None:
        self._site = site
        self._on_broken = on_broken
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._closed = False

    async def boot_files(self, order: Order) -> BootFilesDocument:
        """The boot configurations of a machine. Raises RenderError."""
        return BootFilesDocument.model_validate((await self._ask("boot", order))["boot"])

    async def answers(self, order: Order) -> Answers:
        """The answer file of a machine. Raises RenderError."""
        found = await self._ask("answers", order)
        return Answers(found["text"], found["document"])

    async def inspect(self, order: Order, *, validate: bool) -> Inspection:
        """Everything that a machine would be given, and all that is wrong with it."""
        try:
            found = await self._ask("inspect", order, validate=validate)
        except RenderError as error:
            return Inspection({}, [error.problem])
        return Inspection(found["files"], [Problem(**problem) for problem in found["problems"]])

    async def close(self) -> None:
        """End the worker; there will be no other."""
        self._closed = True
        process, self._process = self._process, None
        if process:
            await _end(process)

    async def _ask(self, kind: str, order: Order, **more: object) -> dict[str, Any]:
        async with self._lock:
            found = await self._exchange({"kind": kind, "order": order.model_dump(mode="json"), **more}, order)
        self._on_broken([Problem(**problem) for problem in found["broken"]])
        if "problem" in found:
            raise RenderError(Problem(**found["problem"]))
        return found

    async def _exchange(self, question: dict[str, Any], order: Order) -> dict[str, Any]:
        """Ask the worker. It is kept only if it answered: a late answer would be taken for the next question's."""
        if self._closed:
            raise RenderError(Problem(order.machine.name, "the service stops"))
        process, self._process = self._process or await self._start(), None
        answered = False
        try:
            async with asyncio.timeout(PATIENCE):
                found = await _converse(process, question)
            answered = True
        except (TimeoutError, EOFError, OSError):
            problem = Problem(order.machine.name, "rendering needs more time or memory than it may have")
            raise RenderError(problem) from None
        finally:
            if answered:
                self._process = process
            else:
                await _end(process)
        return found

    async def _start(self) -> asyncio.subprocess.Process:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.kickstart.worker", str(self._site)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )


async def _converse(process: asyncio.subprocess.Process, question: dict[str, Any]) -> dict[str, Any]:
    """One question and its answer. Raises EOFError and OSError when the worker dies of it."""
    if process.stdin is None or process.stdout is None:
        raise EOFError
    process.stdin.write(encode_message(question))
    await process.stdin.drain()
    (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    if length > MAX_MESSAGE:
        raise EOFError
    found: dict[str, Any] = json.loads(await process.stdout.readexactly(length))
    return found


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
