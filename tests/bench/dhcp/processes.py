"""What processes cost: CPU seconds and memory, as the kernel counts them."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_LOOK = 0.25  # seconds between two looks at whether a process is at rest
_AT_REST = 0.03  # of one processor


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes, all their threads included."""
    return sum(_ticks(pid) for pid in pids) * _TICK


def resident_mib(pid: int) -> float:
    """Memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def rest(pids: Sequence[int], patience: float) -> bool:
    """Wait until the processes have done what they put off; False where they do not come to rest in `patience` s."""
    deadline = time.monotonic() + patience
    before = cpu_seconds(pids)
    while time.monotonic() < deadline:
        time.sleep(_LOOK)
        after = cpu_seconds(pids)
        if after - before < _AT_REST * _LOOK * len(pids) + _TICK / 2:
            return True
        before = after
    return False


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
