"""`python -m tests.bench.dhcp`: the servers that are installed, round after round, and a table of the medians."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tests.bench.dhcp import load as generators
from tests.bench.dhcp.cable import Cable
from tests.bench.dhcp.fleet import Kickfleet
from tests.bench.dhcp.load import Load
from tests.bench.dhcp.measure import LEASES, STORM, Result, round_of, stopped_after
from tests.bench.dhcp.peers import OTHERS, Running
from tests.bench.dhcp.report import line, table


def main() -> int:
    """Measure, print, and say by the exit code whether it could be done."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dhcp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is measured")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs kickfleet's service")
    parser.add_argument("--only", nargs="*", default=[], help="these servers alone")
    parser.add_argument("--broadcast", action="store_true", help="clients on the link instead of behind a relay")
    arguments = parser.parse_args()
    if os.geteuid() or not shutil.which("gcc"):
        print("the DHCP benchmark needs root and gcc; its peers are in deploy/bench-packages.txt", file=sys.stderr)
        return 2
    cable = Cable()
    with tempfile.TemporaryDirectory(prefix="kickfleet-bench-") as folder, cable.laid():
        load = Load(generators.build(Path(folder)), cable, "broadcast" if arguments.broadcast else "relay")
        asyncio.run(bench(Path(folder), load, arguments))
    return 0


async def bench(folder: Path, load: Load, arguments: argparse.Namespace) -> None:
    """All servers once, then all once more: what else the machine does meets each of them."""
    results: dict[str, list[Result]] = defaultdict(list)
    rounds, only = arguments.rounds, arguments.only
    async with Kickfleet.on_its_bus(folder, LEASES + STORM, arguments.python) as kickfleet:
        for number in range(rounds):
            place = folder / str(number)
            starts: dict[str, Callable[[Path], Running]] = {"kickfleet": kickfleet.start}
            starts |= {peer.name: peer.start for peer in OTHERS if peer.is_installed}
            for name, start in starts.items():
                if not only or name in only:
                    result = one(start(place / name), load, last=number == rounds - 1)
                    results[name].append(result)
                    print(line(name, result), flush=True)
    print(table(results))


def one(running: Running, load: Load, *, last: bool) -> Result:
    """One server's turn."""
    with stopped_after(running):
        return round_of(running, load, last=last)


if __name__ == "__main__":
    sys.exit(main())
