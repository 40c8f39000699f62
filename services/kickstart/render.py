"""Select, then render: the files of one machine, and what is wrong with them."""

from dataclasses import dataclass

from services.kickstart.bootconfig import boot_files
from services.kickstart.facts import Order, Select
from services.kickstart.sandbox import Problem, RenderError, Sandbox


@dataclass(frozen=True)
class Answers:
    """A rendered answer file: its text, and its name in addresses."""

    text: str
    document: str


def answers(order: Order, sandbox: Sandbox) -> Answers:
    """The answer file of the machine's install. Raises RenderError."""
    select = Select(order)
    family = select.family
    template = order.machine.answers or family.template
    text = sandbox.write(template, select.install_context(select.macs[0]), family.document)
    return Answers(text, family.document)


@dataclass(frozen=True)
class Inspection:
    """Every file that a machine would be given now, by name, and all that is wrong."""

    files: dict[str, str]
    problems: list[Problem]


def inspect(order: Order, sandbox: Sandbox, *, validate: bool) -> Inspection:
    """Render everything; with `validate`, read the answer file as the installer would."""
    files: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        files |= boot_files(order, sandbox).files
        problems += sandbox.broken()
    except RenderError as error:
        problems.append(error.problem)
    if order.installs:
        try:
            written = answers(order, sandbox)
        except RenderError as error:
            problems.append(error.problem)
        else:
            files[written.document] = written.text
            problems += _flaws(order, written) if validate else []
    return Inspection(files, list(dict.fromkeys(problems)))


def _flaws(order: Order, written: Answers) -> list[Problem]:
    select = Select(order)
    template = order.machine.answers or select.family.template
    return [
        Problem(written.document, _in_file(flaw.message, flaw.line, written.text), template)
        for flaw in select.family.flaws(written.text, select.image)
    ]


def _in_file(message: str, line: int | None, text: str) -> str:
    """The message with the rendered line that it is about: a template's own lines have other numbers."""
    lines = text.splitlines()
    if line is None or not 0 < line <= len(lines):
        return message
    return f"line {line} as rendered, {lines[line - 1].strip()[:80]!r}: {message}"
