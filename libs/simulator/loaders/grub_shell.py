"""GRUB's shell: runs a script as GRUB 2.06 does, down to the errors that it prints and goes on after.

A failing command does not end a script: its error is printed, and what follows is run. Where nothing boots in the
end, the errors that were printed are the reason.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from libs.simulator.boot import Next
from libs.simulator.errors import SimulationError, StandstillError
from libs.simulator.loaders.grub_test import FileSystem
from libs.simulator.texts.grub_syntax import Block, For, Function, If, Simple, Statement, While, Word

MAX_STEPS = 20_000  # commands that one boot may run
MAX_TEXT = 64 * 1024  # characters of a variable or a command
MAX_NESTING = 40  # scripts, functions and blocks within one another

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


class Machine(FileSystem, Protocol):
    """What GRUB does to the machine that it runs on. Paths may begin with a device: (tftp,10.0.0.1)/grub/grub.cfg."""

    async def script(self, path: str) -> bytes:
        """A configuration's text. Raises SimulationError."""

    async def kernel(self, path: str) -> None:
        """Load a kernel. Raises SimulationError."""

    async def initrd(self, path: str) -> None:
        """Load an initial ram disk. Raises SimulationError."""

    async def chain(self, path: str) -> Next:
        """What starting the file at `path` means. Raises SimulationError."""


@dataclass(frozen=True)
class Entry:
    """A menu entry; a submenu's block makes entries of its own."""

    title: str
    id: str
    block: Block
    submenu: bool = False
    arguments: tuple[str, ...] = ()


class CommandError(Exception):
    """A command failed; the message is what GRUB prints. The script goes on."""


class Started(Exception):
    """GRUB has handed over: something else runs now, and nothing that follows in a script does."""

    def __init__(self, started: Next) -> None:
        super().__init__(str(started))
        self.started = started


Command = Callable[["Shell", list[str], Block | None], Awaitable[None]]


@dataclass
class Shell:
    """The state of a running GRUB: its environment, its menu, and what is loaded."""

    machine: Machine
    commands: Mapping[str, Command]
    variables: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Block] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    pending: Next | None = None  # loaded, not started
    printed: list[str] = field(default_factory=list)
    _steps: int = 0
    _nesting: int = 0

    async def run(self, block: Block, arguments: tuple[str, ...] = ()) -> int:
        """Run a block; its status is that of its last command. Raises Started where something boots."""
        status = 0
        with self._nested(), self._positional(arguments):
            for statement in block:
                status = await self._statement(statement)
        return status

    def complain(self, error: Exception) -> None:
        """Print an error as GRUB does and go on; `false` and `test` fail without a word."""
        if not str(error):
            return
        self.printed = [*self.printed[-20:], str(error)]

    async def _statement(self, statement: Statement) -> int:
        self._step()
        match statement:
            case Simple():
                return await self._simple(statement)
            case If():
                return await self._if(statement)
            case For():
                return await self._for(statement)
            case While():
                return await self._while(statement)
            case Function():
                self.functions[statement.name] = statement.body
        return 0

    async def _simple(self, statement: Simple) -> int:
        words = [text for word in statement.words for text in self._expand(word)]
        if not words:
            return 0
        try:
            status = await self._command(words, statement.block)
        except StandstillError:
            raise
        except (CommandError, SimulationError) as error:
            self.complain(error)
            status = 1
        self.variables["?"] = str(status)
        return status

    async def _command(self, words: list[str], block: Block | None) -> int:
        name, *arguments = words
        if name in self.functions:
            return await self.run(self.functions[name], tuple(arguments))
        if name in self.commands:
            await self.commands[name](self, arguments, block)
            return 0
        if _ASSIGNMENT.match(name):
            self.assign(name)
            return 0
        raise CommandError(f"error: can't find command `{name[:60]}'.")

    def assign(self, text: str) -> None:
        """`name=value`. Raises CommandError for a value beyond all use."""
        name, _, value = text.partition("=")
        if len(value) > MAX_TEXT or len(self.variables) > 1000:
            raise CommandError("error: out of memory.")
        self.variables[name] = value

    async def _if(self, statement: If) -> int:
        for condition, body in statement.branches:
            if await self.run(condition) == 0:
                return await self.run(body)
        return await self.run(statement.otherwise)

    async def _for(self, statement: For) -> int:
        status = 0
        for text in [text for word in statement.words for text in self._expand(word)]:
            self.variables[statement.variable] = text
            status = await self.run(statement.body)
            self._step()
        return status

    async def _while(self, statement: While) -> int:
        status = 0
        while (await self.run(statement.condition) != 0) == statement.until:
            status = await self.run(statement.body)
            self._step()
        return status

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise StandstillError(f"GRUB's script has run {MAX_STEPS} commands and boots nothing")

    @contextmanager
    def _nested(self) -> Iterator[None]:
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                raise StandstillError(f"GRUB's scripts call each other deeper than {MAX_NESTING}")
            yield
        finally:
            self._nesting -= 1

    @contextmanager
    def _positional(self, arguments: tuple[str, ...]) -> Iterator[None]:
        """$1, $2 … of a function or a menu entry; blocks without arguments see those around them."""
        if not arguments:
            yield
            return
        before = {name: value for name, value in self.variables.items() if name.isdigit() or name == "#"}
        self.variables |= {str(number): text for number, text in enumerate(arguments, 1)} | {"#": str(len(arguments))}
        try:
            yield
        finally:
            for name in [name for name in self.variables if name.isdigit() or name == "#"]:
                del self.variables[name]
            self.variables |= before

    def _expand(self, word: Word) -> list[str]:
        """The texts that a word becomes: an unquoted variable is split at spaces, and nothing where it is empty."""
        texts: list[str] = []
        open_ = False
        for part in word:
            value = self.variables.get(part.text, "") if part.variable else part.text
            pieces = value.split() if part.variable and not part.quoted else [value]
            if open_ and pieces and not value[:1].isspace():
                texts[-1] += pieces.pop(0)
            texts += pieces
            open_ = bool(texts) and not (part.variable and not part.quoted and value[-1:].isspace())
        if sum(map(len, texts)) > MAX_TEXT:
            raise StandstillError(f"a command of GRUB's script is longer than {MAX_TEXT} characters")
        return texts
