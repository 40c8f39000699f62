"""iPXE's script engine: a script ends with its first line whose last command failed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from libs.simulator.boot import Next, Program
from libs.simulator.errors import SimulationError, StandstillError
from libs.simulator.loaders.environment import Environment
from libs.simulator.loaders.programs import kind_of
from libs.simulator.net.tftp_receiver import IPXE
from libs.simulator.stages import Stage
from libs.simulator.texts.ipxe import Line, expand, parse

MAX_COMMANDS = 2000
MAX_CHAINS = 8  # scripts that call one another


class CommandError(Exception):
    """A command failed; the message is what iPXE prints."""


class Exit(Exception):
    """The script ends with this status, whatever follows in it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit {status}")
        self.status = status


class Goto(Exception):
    """The script goes on behind this label."""

    def __init__(self, label: str) -> None:
        super().__init__(f"goto {label}")
        self.label = label


@dataclass
class Image:
    """A file in memory."""

    name: str
    uri: str
    arguments: tuple[str, ...] = ()


Command = Callable[["Shell", list[str]], Awaitable[Next | None]]


@dataclass
class Shell:
    """A running iPXE. A command gives what boots, None where it merely succeeded; it raises CommandError."""

    env: Environment
    commands: Mapping[str, Command]
    settings: dict[str, str]
    images: dict[str, Image] = field(default_factory=dict)
    selected: str | None = None
    _count: int = 0
    _chains: int = 0

    async def chain(self, uri: str) -> Next | None:
        """Fetch and start `uri`. None: a script that ended with success and boots nothing. Raises CommandError."""
        self._chains += 1
        if self._chains > MAX_CHAINS:
            raise StandstillError(f"iPXE: more than {MAX_CHAINS} scripts call one another")
        try:
            if kind_of(uri) is not None:
                await self.env.load(uri, IPXE, Stage.BOOTLOADER)
                return Program(uri, loaded=True)
            return await self._script(parse(await self.env.read(uri, IPXE, Stage.CONFIGURED)))
        except StandstillError:
            raise
        except SimulationError as error:
            raise CommandError(str(error)) from error
        finally:
            self._chains -= 1

    async def _script(self, lines: list[Line]) -> Next | None:
        at = 0
        while at < len(lines):
            try:
                started = await self._line(lines[at])
            except Goto as jump:
                at = _label(lines, jump.label)
                continue
            except Exit as end:
                if end.status:
                    raise CommandError(f"a script left with status {end.status}") from end
                return None
            if started is not None:
                return started
            at += 1
        return None

    async def _line(self, line: Line) -> Next | None:
        failure: CommandError | None = None
        for condition, words in line.commands:
            if condition and (condition == "||") != (failure is not None):
                continue
            self._step()
            try:
                started = await self._command([expand(word, self.settings) for word in words])
            except CommandError as error:
                failure = error
                continue
            failure = None
            if started is not None:
                return started
        if failure is not None:
            raise failure
        return None

    async def _command(self, words: list[str]) -> Next | None:
        if not words or not words[0]:
            return None
        name, *arguments = words
        if name not in self.commands:
            raise CommandError(f"{name[:60]}: command not found")
        return await self.commands[name](self, arguments)

    def _step(self) -> None:
        self._count += 1
        if self._count > MAX_COMMANDS:
            raise StandstillError(f"iPXE: a script has run {MAX_COMMANDS} commands and boots nothing")


def _label(lines: list[Line], label: str) -> int:
    found = next((at for at, line in enumerate(lines) if line.label == label), None)
    if found is None:
        raise CommandError(f"goto {label[:60]}: No such file or directory")
    return found
