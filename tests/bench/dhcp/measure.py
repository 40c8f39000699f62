"""One server, started anew, through all that is measured of it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.dhcp.cable import Cable
from tests.bench.dhcp.load import Load, Outcome, perfdhcp
from tests.bench.dhcp.peers import Running
from tests.bench.dhcp.processes import cpu_seconds, resident_mib, rest

CLIENTS = 20_000  # that arrive one after the other, new, and then once more
SECONDS = 8.0  # that a slow server gets for them
HALF_SECONDS = 4.0
STORM = 2_000
LEASES = 50_000  # at which the memory is read
SETTLE = 60.0
MOST_DROPPED = 0.005
PERFDHCP_RATES = (1.25, 1.0, 0.8, 0.6, 0.4, 0.2)  # of what our own load saw
PERFDHCP_SECONDS = 4


@dataclass
class Cost:
    """A run of the load, and the CPU milliseconds that each exchange cost, what was put off included."""

    outcome: Outcome
    own: float
    helpers: float


@dataclass
class Result:
    """What one server showed in one round."""

    new: Cost
    returning: Cost
    half: Outcome
    storm: Outcome
    memory_mib: float | None = None
    perfdhcp: float | None = None  # exchanges a second


def measured(running: Running, run: Callable[[], Outcome]) -> Cost:
    """Have the load run, and count what the server spends until it is at rest again."""
    own, helpers = [running.process.pid], running.helpers
    rest([*own, *helpers], SETTLE)
    before = cpu_seconds(own), cpu_seconds(helpers)
    outcome = run()
    rest([*own, *helpers], SETTLE)
    after = cpu_seconds(own), cpu_seconds(helpers)
    assert not outcome.wrong, f"wrong answers: {outcome}"
    each = 1000 / max(1, outcome.completed)
    return Cost(outcome, (after[0] - before[0]) * each, (after[1] - before[1]) * each)


def round_of(running: Running, load: Load, *, last: bool = False) -> Result:
    """All measurements in their order; memory and perfdhcp's in the last round alone."""
    new = measured(running, lambda: load.run(0, CLIENTS, seconds=SECONDS))
    served = max(1, new.outcome.completed)
    returning = measured(running, lambda: load.run(0, served, seconds=SECONDS))
    rate = new.outcome.rate / 2
    half = load.run(CLIENTS, max(1, int(rate * HALF_SECONDS)), window=100_000, rate=rate)
    rest([running.process.pid, *running.helpers], SETTLE)
    storm = load.run(LEASES, STORM, window=STORM, rate=STORM)
    result = Result(new, returning, half, storm)
    if last:
        result.perfdhcp = sustained(load.cable, new.outcome.rate)
    if last and served == CLIENTS:
        load.run(CLIENTS, LEASES - CLIENTS, seconds=60)
        result.memory_mib = resident_mib(running.process.pid)
    return result


def sustained(cable: Cable, rate: float) -> float | None:
    """The most that perfdhcp saw answered without dropping more than it may, of some offered rates."""
    for share in PERFDHCP_RATES:
        answered, dropped = perfdhcp(cable, LEASES, max(1, int(rate * share)), PERFDHCP_SECONDS)
        if dropped <= MOST_DROPPED:
            return answered
    return None


@contextlib.contextmanager
def stopped_after(running: Running) -> Iterator[Running]:
    """End the server, also when its measurement fails."""
    try:
        yield running
    finally:
        running.stop()
