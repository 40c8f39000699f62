"""What every installer does once its kernel runs: answer file, install tree, callbacks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from libs.simulator.boot import Identity
from libs.simulator.errors import BootError, CallbackError, ConfigurationError, TransferError
from libs.simulator.loaders.environment import READABLE
from libs.simulator.net.http import HttpClient, Response
from libs.simulator.net.personalities import Personality
from libs.simulator.options import Misbehaviour, Timing
from libs.simulator.stages import Stage
from libs.simulator.texts.answers import Answers, Callback
from libs.simulator.texts.cmdline import CommandLine

_FETCH_TRIES = 10
_AGAIN = (408, 429)  # besides 5xx: a callback is made again after these


async def nothing(_installer: "Installer", _tree: str) -> None:
    """An installer that reads nothing from its tree here."""


def no_headers(_installer: "Installer") -> Mapping[str, str]:
    """An installer that tells nothing of the machine when it asks for the answer file."""
    return {}


@dataclass(frozen=True)
class Kind:
    """One family of installers. `own_system` and `packages` read from the install tree, whose URL ends in a slash."""

    name: str
    personality: Personality
    agent: str
    options: tuple[str, ...]  # kernel options that name the answer file
    read: Callable[[str, str], Answers]
    tree_options: tuple[str, ...] = ()  # kernel options that name the install tree, before the answer file does
    headers: Callable[["Installer"], Mapping[str, str]] = no_headers
    own_system: Callable[["Installer", str], Awaitable[None]] = nothing  # before the answer file's scripts run
    packages: Callable[["Installer", str], Awaitable[None]] = nothing  # after the first of them


@dataclass
class Installer:
    """An installer at work. `http` is bound to the address that the installer was given."""

    kind: Kind
    line: CommandLine
    url: str
    identity: Identity
    http: HttpClient
    timing: Timing
    misbehaviour: Misbehaviour
    reach: Callable[[Stage, str], Awaitable[None]]
    faults: list[str] = field(default_factory=list)
    confirmed: bool = False  # the callback that says "done" was taken

    async def run(self) -> None:
        """The whole installation. Raises SimulationError where it ends with an error or waits for somebody."""
        response = await self.get(self.url, keep=READABLE, headers=self.kind.headers(self))
        await self.reach(Stage.ANSWERS, self.url)
        answers = self.kind.read(response.content.decode("utf-8", "replace"), self.url)
        tree = self._tree(answers)
        if tree:
            await self.kind.own_system(self, tree)
        await self._call(answers.before)
        await self.reach(Stage.STARTED, "")
        if self.misbehaviour.fails:
            await self._give_up(answers)
        if tree:
            await self.kind.packages(self, tree)
        await asyncio.sleep(self.timing.scaled(self.timing.install))
        await self.reach(Stage.INSTALLING, tree or "")
        await self._call(answers.after)
        if not answers.reboots:
            raise ConfigurationError(f"{self.kind.name}: waits for a key at its end; the answer file does not reboot")

    async def get(
        self, url: str, *, keep: int = 0, span: tuple[int, int] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A file; where the server is away or in trouble, again and again for a while, as installers do."""
        for _ in range(_FETCH_TRIES - 1):
            try:
                return await self.http.get(url, keep=keep, span=span, headers=headers)
            except TransferError as error:
                if error.kind in ("missing", "refused"):
                    raise
            await asyncio.sleep(self.timing.scaled(self.timing.callback_wait))
        return await self.http.get(url, keep=keep, span=span, headers=headers)

    def _tree(self, answers: Answers) -> str | None:
        """Where the packages come from, if that is the host of the answer file: other hosts are left in peace."""
        tree = self.line.get(*self.kind.tree_options) or answers.tree
        if tree is None or tree.split("/")[:3] != self.url.split("/")[:3]:
            return None
        return tree.rstrip("/") + "/"

    async def _give_up(self, answers: Answers) -> None:
        reason = self.misbehaviour.fails
        await self._call(tuple(Callback(call.name, call.url, reason) for call in answers.on_error))
        raise GaveUpError(f"{self.kind.name}: {reason}")

    async def _call(self, callbacks: tuple[Callback, ...]) -> None:
        for callback in callbacks:
            for _ in range(self.misbehaviour.callbacks):
                try:
                    await self._post(callback)
                except CallbackError as error:
                    # As in the answer files: the script goes on, and the machine will find out at its next boot.
                    self.faults.append(str(error))
                else:
                    self.confirmed = self.confirmed or callback.name == "done"

    async def _post(self, callback: Callback) -> None:
        said = "nobody answers"
        for _ in range(self.timing.callback_tries):
            try:
                headers = {"Content-Type": "text/plain"}
                response = await self.http.request("POST", callback.url, body=callback.body.encode(), headers=headers)
            except TransferError as error:
                said = str(error)
            else:
                said = f"HTTP {response.status}"
                if 200 <= response.status < 300:
                    return
                if response.status < 500 and response.status not in _AGAIN:
                    break
            await asyncio.sleep(self.timing.scaled(self.timing.callback_wait))
        raise CallbackError(f"the callback {callback.name} was not taken: {said}")


class GaveUpError(BootError):
    """The installer failed and said so; a machine stays there until somebody looks at it."""
