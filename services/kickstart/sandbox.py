"""The room in which templates run: no access to Python, nothing undefined, a bounded output, errors that say where.

What a template may cost in time and memory is bounded by the process around it (see worker).
"""

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from services.kickstart.quoting import FILTERS
from services.kickstart.sources import Sources
from services.kickstart.values import Multiline, Named, ValueRefused

MAX_OUTPUT = 1024 * 1024  # characters


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file that was to be rendered: which file, where in which template, and why."""

    file: str
    message: str
    template: str | None = None
    line: int | None = None
    variable: str | None = None

    def __str__(self) -> str:
        where = f"{self.template or self.file}, line {self.line}" if self.line else self.template or self.file
        return f"{where}: {self.message}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class RenderError(Exception):
    """A file could not be rendered; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class UndefinedVariable(UndefinedError):
    """A template asks for something that is not there."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable} is not defined")
        self.variable = variable


class OutOfTime(Exception):
    """A template uses more processor time than it may; raised by the worker's clock."""


class OutputTooLong(TemplateError):
    """A template writes more than it may."""


class _Undefined(StrictUndefined):
    """Remembers by which name the template asked."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None) -> None:
        variable = name or hint or "a value"
        if isinstance(obj, Named):
            variable = obj.member(name)
        elif obj is not missing:
            variable = f"{variable} of a {type(obj).__name__}"
        raised: Any = exc or (lambda _message: UndefinedVariable(variable))
        super().__init__(hint, obj, name, raised)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates."""

    def __init__(self, sources: Sources) -> None:
        super().__init__(
            loader=sources,
            undefined=_Undefined,
            finalize=_written,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self.sources = sources
        self.passed_over: dict[str, Problem] = {}  # templates in whose place a built-in one was taken
        self.filters.update(FILTERS)
        del self.globals["lipsum"]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An entry of ours wins over a method of the same name: `vars.items` is the variable."""
        if isinstance(obj, Named) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def write(self, template: str, context: Mapping[str, Any], file: str, limit: int = MAX_OUTPUT) -> str:
        """The template's text for this context, at most `limit` characters. Raises RenderError, which names `file`."""
        try:
            return _bounded(self.get_template(template).generate(context), limit)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise RenderError(self._problem(error, template, file)) from None
        except (RecursionError, MemoryError, OutOfTime) as error:
            raise RenderError(self._problem(error, template, file, _COSTS[type(error)])) from None

    def _problem(self, error: Exception, template: str, file: str, message: str | None = None) -> Problem:
        name, line = self._place(error)
        variable = error.variable if isinstance(error, UndefinedVariable | ValueRefused) else None
        return Problem(file, message or _message(error), name or template, line, variable)

    def _place(self, error: Exception) -> tuple[str | None, int | None]:
        if isinstance(error, TemplateSyntaxError):
            return error.name, error.lineno
        place: tuple[str | None, int | None] = (None, None)
        for frame, line in traceback.walk_tb(error.__traceback__):
            name = self.sources.names.get(frame.f_code.co_filename)
            if name:
                place = (name, line)
        return place

    def broken(self) -> list[Problem]:
        """The templates that are passed over, for their last good text or a built-in one."""
        unreadable = [self._problem(error, name, name) for name, error in self.sources.broken.items()]
        return [*unreadable, *self.passed_over.values()]


_COSTS: Mapping[type[Exception], str] = {
    RecursionError: "the template includes or calls itself without end",
    MemoryError: "the template needs more memory than it may have",
    OutOfTime: "the template needs more time than it may have",
}


def _bounded(parts: Iterable[str], limit: int) -> str:
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size > limit:
            raise OutputTooLong(f"the template writes more than {limit} characters")
    return "".join(kept)


def _written(value: Any) -> Any:
    """What `{{ value }}` may be: text and numbers. Absence, lists and objects have no one right spelling."""
    if isinstance(value, str | int | float | Undefined | Multiline):
        return value
    if value is None:
        raise TypeError("the value is absent; ask `is defined` first, or give a `default`")
    raise TypeError(f"a {type(value).__name__} is not text; write its parts, or use `join`")


def _message(error: Exception) -> str:
    if isinstance(error, TemplateNotFound):
        return f"there is no template {error.name!r}, neither of the site nor built in"
    text = (error.message if isinstance(error, TemplateError) else str(error)) or type(error).__name__
    return text.splitlines()[0]
