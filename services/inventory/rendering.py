"""Asks kickstart, over the bus, what it would give to machines, and whether that is right."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from libs.bus import Bus, BusUnavailable
from libs.desired import InstallDocument, MachineDocument

SUBJECT = "kickfleet.rpc.kickstart.render"
PATIENCE = 10.0  # seconds
AT_ONCE = 8  # documents in one question: answers with their files must fit into one message
MOST_KINDS = 64  # different (profile, variables) that are checked for one request
NOT_CHECKED = "the answer files were not checked, as kickstart does not answer"


class RenderError(BaseModel):
    """What is wrong with a file, and where."""

    file: str = ""
    template: str | None = None
    line: int | None = None
    variable: str | None = None
    message: str = ""

    def __str__(self) -> str:
        where = f"{self.template or self.file}{f', line {self.line}' if self.line else ''}"
        return f"{where}: {self.message}" if where else self.message


class Rendered(BaseModel):
    """What one machine would be given."""

    machine: str
    files: dict[str, str] = {}
    errors: list[RenderError] = []


class _Reply(BaseModel):
    results: list[Rendered] = []


@dataclass
class Verdict:
    """The faults by machine, and what could not be checked."""

    errors: dict[str, list[RenderError]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def as_if_ordered(document: MachineDocument) -> MachineDocument:
    """The document that this machine would have if it were to be installed now."""
    if document.install:
        return document
    preview = InstallDocument(id="preview", token="preview", ordered_at=datetime.now(UTC))
    return document.model_copy(update={"netboot": "install", "install": preview})


async def render(bus: Bus, documents: Sequence[MachineDocument], *, validate: bool, content: bool) -> list[Rendered]:
    """What kickstart makes of these documents. Raises BusUnavailable, also for an answer that makes no sense."""
    question = {
        "machines": [document.model_dump(mode="json") for document in documents],
        "validate": validate,
        "content": content,
    }
    answer = await bus.request(SUBJECT, question, timeout=PATIENCE)
    try:
        return _Reply.model_validate(answer).results
    except ValidationError as error:
        raise BusUnavailable(f"kickstart's answer makes no sense: {error.errors()[0]['msg']}") from None


async def check(bus: Bus, documents: Iterable[MachineDocument]) -> Verdict:
    """Whether the answer files of these machines are right: one machine stands for all that differ in name only."""
    kinds: dict[str, list[MachineDocument]] = {}
    for document in documents:
        if document.profile:
            kinds.setdefault(_kind(document), []).append(document)
    verdict = Verdict()
    samples = [alike[0] for alike in kinds.values()]
    if len(samples) > MOST_KINDS:
        verdict.warnings.append(f"the answer files of {MOST_KINDS} of {len(samples)} kinds of machine were checked")
    for start in range(0, min(len(samples), MOST_KINDS), AT_ONCE):
        part = samples[start : min(start + AT_ONCE, MOST_KINDS)]
        try:
            results = await render(bus, [as_if_ordered(sample) for sample in part], validate=True, content=False)
        except BusUnavailable:
            verdict.warnings.append(NOT_CHECKED)
            break
        wrong = {result.machine: result.errors for result in results if result.errors}
        for sample in part:
            if sample.name in wrong:
                verdict.errors |= {alike.name: wrong[sample.name] for alike in kinds[_kind(sample)]}
    return verdict


def _kind(document: MachineDocument) -> str:
    """What an answer file depends on, but for the machine's own name and addresses."""
    parts: tuple[Any, ...] = (document.profile, document.answers, document.variables, document.kernel_options)
    return json.dumps(parts, sort_keys=True, default=str)
