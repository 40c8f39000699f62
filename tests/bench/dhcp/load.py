"""The load generators: ours (load.c, compiled here) and Kea's perfdhcp."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.dhcp.cable import CLIENT_INTERFACE, CLIENTS, SERVER, Cable

SOURCE = Path(__file__).with_name("load.c")
WINDOW = 128  # clients under way at a time
PATIENCE_MS = 1000  # iPXE's first; other firmware waits longer before it repeats itself


@dataclass(frozen=True)
class Outcome:
    """What load.c counted: clients, seconds, milliseconds."""

    completed: int
    lost: int
    resends: int
    refused: int
    wrong: int
    late: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    offer_p50_ms: float
    own_cpu_seconds: float

    @property
    def rate(self) -> float:
        """Complete exchanges a second."""
        return self.completed / self.seconds

    @property
    def dropped(self) -> float:
        """The share of messages that had no answer in time."""
        return (self.resends + self.lost) / max(1, 2 * (self.completed + self.lost) + self.resends)


def build(folder: Path) -> Path:
    """Compile the load generator. Raises CalledProcessError."""
    program = folder / "load"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)], check=True)
    return program


@dataclass(frozen=True)
class Load:
    """Clients at their end of the cable."""

    program: Path
    cable: Cable
    way: str = "relay"  # relay | broadcast

    def run(
        self, first: int, count: int, *, window: int = WINDOW, rate: float = 0, seconds: float = 60, within: float = 300
    ) -> Outcome:
        """`count` clients, the first of them numbered `first`. Raises CalledProcessError, TimeoutExpired."""
        numbers = [first, count, window, f"{rate:.3f}", PATIENCE_MS, seconds]
        command = self.cable.at_clients(
            str(self.program), self.way, CLIENTS, SERVER, CLIENT_INTERFACE, *map(str, numbers)
        )
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=within)
        return Outcome(**json.loads(done.stdout))


def perfdhcp(cable: Cable, clients: int, rate: int, seconds: int) -> tuple[float, float]:
    """Exchanges a second that perfdhcp counted at an offered rate, and the share of its messages that were dropped.

    Raises RuntimeError where its words are not understood.
    """
    options = ["-4", "-r", str(rate), "-p", str(seconds), "-R", str(clients), "-b", "mac=02:00:00:00:00:00"]
    command = cable.at_clients("perfdhcp", *options, "-W", "1000000", "-l", CLIENTS, SERVER)
    # Its exit code is 3 where anything was dropped.
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 60)
    sent = [int(value) for value in re.findall(r"sent packets: (\d+)", done.stdout)]
    got = [int(value) for value in re.findall(r"received packets: (\d+)", done.stdout)]
    if len(sent) != 2 or len(got) != 2:
        raise RuntimeError(f"perfdhcp said: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return got[1] / seconds, 1 - sum(got) / max(1, sum(sent))
