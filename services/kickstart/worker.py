"""The process in which templates run: what one of them takes in time and memory cannot hurt the service.

`python -m services.kickstart.worker FOLDER` answers questions on standard input, one after the other, until it ends.
A question and an answer are each a JSON object behind its length (4 octets, big-endian).
"""

import json
import resource
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from services.kickstart.bootconfig import boot_files
from services.kickstart.facts import Order
from services.kickstart.render import answers, inspect
from services.kickstart.sandbox import OutOfTime, Problem, RenderError, Sandbox
from services.kickstart.sources import Sources

LENGTH = struct.Struct("!I")
MAX_MESSAGE = 64 * 1024 * 1024
PROCESSOR_SECONDS = 2.0  # for one question; then the template is stopped
LAST_SECONDS = 1  # where it cannot be stopped (one endless step inside Python itself) the process ends
MEMORY = 512 * 1024 * 1024


class Worker:
    """Answers questions from the templates of one site."""

    def __init__(self, site: Path) -> None:
        self._sandbox = Sandbox(Sources(site, keep_good=True))
        self._strict = Sandbox(Sources(site, keep_good=False))  # for operators: templates as they are on the disk

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to {"kind", "order", …}: the kind's own fields, or the `problem` that stood in the way."""
        order = Order.model_validate(question["order"])
        try:
            found = self._KINDS[question["kind"]](self, order, question)
        except RenderError as error:
            found = {"problem": error.problem.document()}
        except OutOfTime:
            found = {"problem": Problem(order.machine.name, "rendering needs more time than it may have").document()}
        return {**found, "broken": [problem.document() for problem in self._sandbox.broken()]}

    def _boot(self, order: Order, _question: Mapping[str, Any]) -> dict[str, Any]:
        return {"boot": boot_files(order, self._sandbox).model_dump(mode="json")}

    def _answers(self, order: Order, _question: Mapping[str, Any]) -> dict[str, Any]:
        written = answers(order, self._sandbox)
        return {"text": written.text, "document": written.document}

    def _inspect(self, order: Order, question: Mapping[str, Any]) -> dict[str, Any]:
        found = inspect(order, self._strict, validate=bool(question["validate"]))
        return {"files": found.files, "problems": [problem.document() for problem in found.problems]}

    _KINDS: Mapping[str, Callable[["Worker", Order, Mapping[str, Any]], dict[str, Any]]] = {
        "boot": _boot,
        "answers": _answers,
        "inspect": _inspect,
    }


def read_message(stream: BinaryIO) -> dict[str, Any] | None:
    """The next message; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    message: dict[str, Any] = json.loads(stream.read(length))
    return message


def encode_message(message: Mapping[str, Any]) -> bytes:
    """A message as octets."""
    payload = json.dumps(message).encode()
    return LENGTH.pack(len(payload)) + payload


def _limit_processor() -> None:
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS, 1.0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    last = int(used.ru_utime + used.ru_stime + PROCESSOR_SECONDS) + LAST_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (last, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _stop_template(_number: int, _frame: FrameType | None) -> None:
    raise OutOfTime


def main(folder: str) -> int:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, whose end closes our input
    signal.signal(signal.SIGPROF, _stop_template)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    worker = Worker(Path(folder))
    while (question := read_message(sys.stdin.buffer)) is not None:
        _limit_processor()
        try:
            reply = worker.answer(question)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.buffer.write(encode_message(reply))
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
