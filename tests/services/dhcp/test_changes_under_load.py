"""Changes of subnets, reservations and machines take effect in a storm, and not one datagram of it is dropped."""

import asyncio
from collections import Counter
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from libs.bus import Bus
from libs.desired import MACHINES, AddressRange
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, Option, read_u32
from tests.services.dhcp.lab import machine
from tests.services.dhcp.relay import Relay
from tests.services.dhcp.test_service import declare, loopback, served
from tests.support.running import settings_in
from tests.support.waiting import until

MACHINES_RUNNING = 100
CHANGES = 8
PATIENCE = 20.0  # seconds without any answer
LATE = "52:54:00:00:ff:01"
MOVED = IPv4Address("127.77.0.77")


def mac(number: int) -> str:
    return bytes((0x52, 0x54, 3, 0, number >> 8, number & 255)).hex(":")


class Storm:
    """Machines that ask without a pause, each again as soon as it is answered; nothing is ever sent twice."""

    def __init__(self, relay: Relay, machines: list[str]) -> None:
        self._relay = relay
        self._machines = machines
        self.asked: set[int] = set()  # transactions
        self.answered: Counter[int] = Counter()
        self.latest: dict[str, Message] = {}
        self.over = False

    async def run(self) -> None:
        """Until it is over, and everything is answered."""
        for name in self._machines:
            self._ask(name)
        deadline = asyncio.timeout(None)
        async with deadline:
            while len(self.answered) < len(self.asked):
                await asyncio.sleep(0)  # the service has its turn
                if self._hear():
                    deadline.reschedule(asyncio.get_running_loop().time() + PATIENCE)

    def _ask(self, name: str) -> None:
        self.asked.add(self._relay.send(MessageType.DISCOVER, name))

    def _hear(self) -> bool:
        self._relay.collect()
        replies = list(self._relay.replies.values())
        self._relay.replies.clear()
        for reply in replies:
            self.answered[reply.xid] += 1
            self.latest[reply.chaddr.hex(":")] = reply
            if not self.over:
                self._ask(reply.chaddr.hex(":"))
        return bool(replies)

    def was_told(self, seconds: int) -> bool:
        """Whether every machine's latest answer names this lease time."""
        return {read_u32(reply.options[Option.LEASE_TIME]) for reply in self.latest.values()} == {seconds}


async def change(bus: Bus, storm: Storm) -> None:
    """Every kind of change, each seen in the answers before the next."""
    first = AddressRange(first=IPv4Address("127.77.1.0"), last=IPv4Address("127.77.1.255"))
    second = AddressRange(first=IPv4Address("127.77.2.0"), last=IPv4Address("127.77.2.255"))
    for number in range(CHANGES):
        seconds = 600 + number
        await declare(bus, loopback(lease_seconds=seconds, pools=[first, second][: 1 + number % 2]))
        await until(partial(storm.was_told, seconds), "the subnet is the new one")
        await declare(bus, machine("late", LATE), machine("m0", mac(0), address=MOVED))
        await until(lambda: storm.latest[mac(0)].yiaddr == MOVED, "the reservation is given")
        await bus.delete(MACHINES, "late")
        await declare(bus, machine("m0", mac(0)))
        await until(lambda: storm.latest[mac(0)].yiaddr != MOVED, "the reservation is withdrawn")


async def test_changes_take_effect_without_a_dropped_packet(tmp_path: Path) -> None:
    running = [mac(number) for number in range(MACHINES_RUNNING)]
    fleet = [machine(f"m{number}", name) for number, name in enumerate(running)]
    async with served(settings_in(tmp_path), loopback(), *fleet) as (relay, bus):
        storm = Storm(relay, running)
        blowing = asyncio.create_task(storm.run())
        try:
            await until(lambda: len(storm.latest) == len(running), "the storm is under way")
            await change(bus, storm)
        finally:
            storm.over = True
            await blowing
        assert storm.answered == Counter(storm.asked), "a datagram was dropped, or answered twice"
        assert len(storm.asked) > CHANGES * len(running)
