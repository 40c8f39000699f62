"""A whole deployment as an operator has it: `kickfleet up` as a process, and the command line beside it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from libs.settings import ENVIRONMENT_PREFIX, Settings, load
from services.cli.demo.deployment import prepare

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; only a failure takes so long
SERVICES = ("inventory", "dhcp", "tftp", "kickstart")
PROGRAMS = (*SERVICES, "nats")
Done = subprocess.CompletedProcess[str]


def eventually(condition: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
    """The first true value of `condition`, looked at again and again. Raises AssertionError with `what`."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:g} seconds"
        time.sleep(0.02)
    return value


def environment(**more: str) -> dict[str, str]:
    """Ours, without settings of a deployment that may stand on this machine."""
    others = {key: value for key, value in os.environ.items() if not key.startswith(ENVIRONMENT_PREFIX)}
    return {**others, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **more}


def kickfleet(*arguments: str, before: Sequence[str] = (), text: str = "", **more: str) -> Done:
    """One call of the command line, to its end. `before`: a command to run it with; `more`: environment."""
    return subprocess.run(
        [*before, sys.executable, "-m", "services.cli", *arguments],
        input=text,
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=PATIENCE * 2,
        check=False,
    )


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Up:
    """`kickfleet up` with one configuration file."""

    config: Path
    notices: list[dict[str, Any]] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None

    @property
    def settings(self) -> Settings:
        """What it runs with."""
        return load(self.config, {})

    @property
    def run(self) -> Path:
        """The folder of pid files and addresses."""
        return self.settings.data / "run"

    @property
    def stderr(self) -> str:
        """What the supervisor and its services said so far."""
        return (self.config.parent / "up.stderr").read_text()

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The supervisor."""
        assert self._process
        return self._process

    def start(self) -> "Up":
        """Start it and return at once."""
        with (self.config.parent / "up.stderr").open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", "up", "--json", "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                text=True,
                env=environment(),
                start_new_session=True,
            )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        return self

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            self.notices.append(json.loads(line))

    def wait_up(self) -> "Up":
        """Wait until every service is ready."""
        eventually(lambda: self.said("up") or self.process.poll() is not None, "everything is up")
        assert self.process.poll() is None, self.stderr
        return self

    def said(self, kind: str, name: str | None = None) -> list[dict[str, Any]]:
        """The notices of a kind, about one program or any."""
        return [notice for notice in list(self.notices) if notice["kind"] == kind and name in (None, notice["name"])]

    def pid(self, program: str) -> int | None:
        """The process id of a program; None while it does not run."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.run / f"{program}.pid").read_text())
        return None

    def kill(self, program: str) -> int:
        """`kill -9` of one program; its process id."""
        pid = eventually(lambda: self.pid(program), f"{program} runs")
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        """SIGTERM, and wait for the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE)

    def cli(self, *arguments: str, text: str = "", **more: str) -> Done:
        """The command line, talking to this deployment."""
        return kickfleet(*arguments, "--config", str(self.config), text=text, **more)

    def ok(self, *arguments: str, text: str = "") -> str:
        """The output of a call that succeeds."""
        done = self.cli(*arguments, text=text)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, text: str = "") -> Any:
        """The same as JSON."""
        return json.loads(self.ok(*arguments, "--json", text=text))

    def get(self, path: str, **query: Any) -> Any:
        """A document of the API; much quicker than a call of the command line where a test looks again and again."""
        with self.api() as api:
            return api.get(path, params=query).raise_for_status().json()

    def state(self, machine: str) -> str | None:
        """Where the machine's latest install stands."""
        state: str | None = self.get(f"/v1/machines/{machine}")["status"]["state"]
        return state

    def api(self) -> httpx.Client:
        """A client with the admin token."""
        token = (self.settings.data / "admin.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"http://{self.settings.inventory.listen}", headers=headers, trust_env=False)


@contextmanager
def up(folder: Path) -> Iterator[Up]:
    """A deployment with free ports in `folder`, up until the end of the block, whatever happens in it."""
    deployment = Up(prepare(folder)).start()
    try:
        yield deployment.wait_up()
    finally:
        end(deployment)


def end(deployment: Up) -> None:
    """Leave nothing of it, not even after a failure."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        deployment.stop()
    if deployment.process.poll() is None:
        deployment.process.kill()
        deployment.process.wait()
