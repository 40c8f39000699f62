"""Many simulated machines at once, behind one relay agent."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from libs.mac import parse_mac
from libs.simulator.machine import Machine
from libs.simulator.net.relay import relay
from libs.simulator.options import Firmware, MachineSpec, Target, Timing
from libs.simulator.stages import Outcome, Progress, Result

FIRST_MAC = "52:54:00:77:00:01"
LIMIT = 900.0  # seconds that one machine may take; pace does not scale it


async def simulate(
    target: Target,
    machines: Sequence[MachineSpec],
    *,
    report: Callable[[Progress], None],
    timing: Timing | None = None,
    spread: float = 0.0,
    limit: float = LIMIT,
) -> list[Result]:
    """Power on all machines within `spread` seconds and see them through; the results are in the machines' order.

    `report` is called for every stage and every fault as it happens. A machine that takes longer than `limit` seconds
    has failed. Raises SimulationError where the relay agent cannot open its socket, ValueError for a MAC twice.
    """
    if len({machine.mac for machine in machines}) != len(machines):
        raise ValueError("machines: every one needs a hardware address of its own")
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with relay(target.dhcp, target.dhcp_port, target.relay) as agent, asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(
                _one(
                    Machine(spec, target, timing or Timing(), agent, report, lambda: loop.time() - began),
                    spread * number / max(len(machines), 1),
                    limit,
                )
            )
            for number, spec in enumerate(machines)
        ]
    return [task.result() for task in running]


async def _one(machine: Machine, delay: float, limit: float) -> Result:
    await asyncio.sleep(delay)
    try:
        async with asyncio.timeout(limit):
            return await machine.run()
    except TimeoutError:
        return machine.result(Outcome.FAILED, f"took longer than {limit:g} seconds; reached {machine.furthest}")


def mixed(count: int, ratio: Mapping[Firmware, int], *, first: str = FIRST_MAC, seed: int = 0) -> list[MachineSpec]:
    """`count` machines with hardware addresses in a row, their firmware mixed: 2:1 of a and b gives a a b a a b.

    Raises ValueError where no kind of firmware has a share, MacError for a first address that is none.
    """
    kinds = _round_robin(ratio)
    start = int(parse_mac(first).replace(":", ""), 16)
    macs = ((start + number).to_bytes(6).hex(":") for number in range(count))
    return [MachineSpec(mac, firmware=next(kinds), seed=seed) for mac in macs]


def _round_robin(ratio: Mapping[Firmware, int]) -> Iterator[Firmware]:
    cycle = [kind for kind, share in ratio.items() for _ in range(share)]
    if not cycle:
        raise ValueError("ratio: at least one kind of firmware needs a share above 0")
    while True:
        yield from cycle
