"""Cells, measured: one load on one server, and the same load on all of them in turns."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.tftp.peers import CACHE, Server

SOURCE = Path(__file__).with_name("generator.c")
MEGABYTE = 1e6


@dataclass(frozen=True)
class Cell:
    """One load."""

    name: str
    clients: int
    transfers: int  # of each client, one after the other
    size: int  # octets of the file
    blksize: int = 1468
    windowsize: int = 1
    round_trip: int = 0  # microseconds added
    loss: int = 0  # datagrams in a million, each way
    peers: tuple[str, ...] = ("tftpd-hpa", "atftpd", "dnsmasq")

    @property
    def file(self) -> str:
        """The name of the file that is asked for."""
        return f"file{self.size}"


@dataclass(frozen=True)
class Result:
    """What one load on one server showed. Times are seconds, rates a second, memory is octets."""

    rate: float  # octets
    files: float
    median: float
    p99: float
    cpu_per_gb: float
    repeated: int
    memory: int


def generator() -> Path:
    """The load generator, built where it is older than its source."""
    built = CACHE / "generator"
    if not built.exists() or built.stat().st_mtime < SOURCE.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-Wall", "-o", str(built), str(SOURCE)], check=True)
    return built


def load(cell: Cell, server: Server, root: Path, seed: int = 1) -> Result | str:
    """One load; what went wrong where the server did not hold it."""
    before = server.usage()
    command = [generator(), "127.0.0.1", server.port, cell.file, cell.size, cell.clients, cell.transfers]
    command += [cell.blksize, cell.windowsize, cell.round_trip, cell.loss, seed, root / cell.file]
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return "not done after 120 s"
    after = server.usage()
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:60]
    said = json.loads(done.stdout)
    return Result(
        rate=said["bytes"] / said["seconds"],
        files=said["files"] / said["seconds"],
        median=said["p50"],
        p99=said["p99"],
        cpu_per_gb=(after.cpu - before.cpu) / (said["bytes"] / 1e9),
        repeated=said["duplicates"],
        memory=after.memory,
    )


def in_turns(cell: Cell, servers: list[Server], root: Path, rounds: int) -> dict[str, list[Result | str]]:
    """The same load on every server, in turns that begin with another one each. What failed is not tried again."""
    results: dict[str, list[Result | str]] = {server.name: [] for server in servers}
    for turn in range(rounds):
        order = servers[turn % len(servers) :] + servers[: turn % len(servers)]
        for server in order:
            if not any(isinstance(result, str) for result in results[server.name]):
                results[server.name].append(load(cell, server, root, seed=turn + 1))
    return results


def middle(results: list[Result | str]) -> Result | str:
    """The medians of a cell."""
    good = [result for result in results if isinstance(result, Result)]
    if not good or len(good) < len(results):
        return next(result for result in results if isinstance(result, str))
    values = {name: median(getattr(one, name) for one in good) for name in Result.__dataclass_fields__}
    return Result(**values)


def ratio(ours: list[Result | str], theirs: list[Result | str], figure: str) -> float | None:
    """The median of the ratios of each round; None where one of the two failed."""
    pairs = list(zip(ours, theirs, strict=False))
    if not pairs or any(isinstance(one, str) for pair in pairs for one in pair):
        return None
    return float(median(getattr(mine, figure) / max(getattr(other, figure), 1e-9) for mine, other in pairs))
