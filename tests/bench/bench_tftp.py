"""TFTP beside the servers that people use: the loads that we set ourselves goals for, in turns, medians of ratios.

`KICKFLEET_BENCH=all` measures the whole field of clients, block sizes, windows, delays and losses instead.
"""

import itertools
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench.tftp.measure import Cell, Result, in_turns, middle, ratio
from tests.bench.tftp.peers import ours, peer

ROUNDS = int(os.environ.get("KICKFLEET_BENCH_ROUNDS", "5"))
HPA, ATFTPD, DNSMASQ = "tftpd-hpa", "atftpd", "dnsmasq"
MB = 1_000_000

# What is measured, and what we want: figure, beside whom, at least (rates) or at most (processor time).
Goal = tuple[str, str, float]
GOALS: list[tuple[Cell, list[Goal]]] = [
    (Cell("1 client, lockstep", 1, 3, 20 * MB), [("rate", HPA, 1.0)]),
    (
        Cell("64 clients, lockstep", 64, 1, 3 * MB),
        [("rate", HPA, 1.5), ("rate", DNSMASQ, 1.2), ("cpu_per_gb", HPA, 0.5)],
    ),
    (Cell("256 clients, lockstep", 256, 1, 1 * MB), [("rate", HPA, 2.0)]),
    (
        Cell("64 clients, window 16", 64, 1, 10 * MB, windowsize=16),
        [("rate", HPA, 6.0), ("rate", ATFTPD, 3.0), ("cpu_per_gb", HPA, 0.12)],
    ),
    (
        Cell("64 clients, window 16, 5 ms", 64, 1, 5 * MB, windowsize=16, round_trip=5000),
        [("rate", HPA, 13.0), ("rate", ATFTPD, 1.4)],
    ),
    (Cell("64 clients, lockstep, 0.1 % lost", 64, 1, 1 * MB, loss=1000), [("rate", HPA, 4.0)]),
    (Cell("64 clients, window 16, 0.1 % lost", 64, 1, 2 * MB, windowsize=16, loss=1000), [("rate", ATFTPD, 4.0)]),
    (Cell("64 clients, 70 KB files", 64, 20, 70_000), [("files", HPA, 2.5), ("files", DNSMASQ, 1.1)]),
]


def _field() -> list[tuple[Cell, list[Goal]]]:
    cells = []
    for clients, blksize, window, delay, loss in itertools.product(
        (1, 64, 256, 1000), (512, 1408, 1468), (1, 4, 16, 64), (0, 5000), (0, 10_000)
    ):
        size = max(100_000, (20 * MB if window > 1 else 8 * MB) // clients // (20 if delay or loss else 1))
        name = f"{clients} × {blksize} × {window}, {delay // 1000} ms, {loss // 10_000} %"
        cells.append((Cell(name, clients, 1, size, blksize, window, delay, loss), list[Goal]()))
    return cells


def test_tftp_servers_side_by_side(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("root is needed for port 69 and the kernel's account of processor time")
    cells = _field() if os.environ.get("KICKFLEET_BENCH") == "all" else GOALS
    root = tmp_path / "files"
    root.mkdir(mode=0o755)
    (root / "hello").write_bytes(b"hello")
    for size in {cell.size for cell, _ in cells}:
        (root / f"file{size}").write_bytes(os.urandom(size))
    for place in (root, *root.iterdir(), *root.parents[:3]):
        place.chmod(0o755)
    with ExitStack() as stack:
        servers = [stack.enter_context(ours(root, tmp_path / "data"))]
        names = [HPA, ATFTPD, DNSMASQ, "tftpy"] if len(cells) > len(GOALS) else [HPA, ATFTPD, DNSMASQ]
        servers += [server for name in names if (server := stack.enter_context(peer(name, root)))]
        for cell, goals in cells:
            results = in_turns(cell, servers, root, ROUNDS if len(cells) == len(GOALS) else 1)
            print(f"\n{cell.name}")
            for name, found in results.items():
                print(f"  {name:<10} {_line(middle(found))}")
            for figure, name, wanted in goals:
                got = ratio(results["kickfleet"], results.get(name, ["absent"]), figure)
                print(f"    {figure} beside {name}: {got if got is None else round(got, 3)} (wanted {wanted})")
            assert isinstance(middle(results["kickfleet"]), Result), results["kickfleet"]


def _line(result: Result | str) -> str:
    if isinstance(result, str):
        return f"failed: {result}"
    return (
        f"{result.rate / 1e6:8.1f} MB/s {result.files:8.1f} files/s   median {result.median:7.3f} s"
        f"   p99 {result.p99:7.3f} s   {result.cpu_per_gb:6.2f} CPU s/GB   {result.repeated:6.0f} repeated"
        f"   {result.memory / 1e6:6.1f} MB"
    )


if __name__ == "__main__":
    pytest.main(["-s", __file__])
