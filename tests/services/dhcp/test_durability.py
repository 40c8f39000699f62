"""What was acknowledged stays acknowledged: through kill -9, and where the disk takes no more."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from libs.desired import AddressRange
from libs.events import Event
from libs.settings import HostPort, Settings
from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.leases import Lease
from services.dhcp.metrics import Metrics
from services.dhcp.server import Server
from services.dhcp.store import StoreError
from tests.services.dhcp.lab import Lab
from tests.services.dhcp.relay import Relay
from tests.services.dhcp.test_service import NODE01, loopback, served
from tests.support.running import settings_in
from tests.support.waiting import until

CONFIG = """
data = "{data}"
[dhcp]
listen = "127.0.0.1"
port = 0
status = "127.0.0.1:0"
[log]
level = "error"
"""
LOCAL = IPv4Address("127.0.0.1")
ROUNDS = 100
SEED = int(os.environ.get("KICKFLEET_SEED", "11"))  # when the service is killed; another one tries other moments
CLIENTS = 60


def mac(number: int) -> str:
    return bytes((0x52, 0x54, 2, 0, number >> 8, number & 255)).hex(":")


@asynccontextmanager
async def process(settings: Settings, config: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, HostPort]]:
    """The service as a process of its own; killed at the end."""
    announced = settings.data / "run" / "dhcp"
    announced.unlink(missing_ok=True)
    command = [sys.executable, "-m", "services.dhcp", "--config", str(config)]
    child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL, cwd=Path.cwd())
    try:
        await until(announced.exists, "dhcp announces itself")
        host, _, port = announced.read_text().strip().rpartition(":")
        yield child, HostPort(host, int(port))
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.wait()


class Storm:
    """Clients that ask all at once; each takes the offer that it gets. `told` is what the server acknowledged."""

    def __init__(self, relay: Relay, told: dict[str, IPv4Address]) -> None:
        self._relay = relay
        self.told = told

    def begin(self, first: int) -> None:
        """Power on."""
        for number in range(first, first + CLIENTS):
            self._relay.send(MessageType.DISCOVER, mac(number))

    def step(self) -> None:
        """Hear what has arrived, and go on."""
        self._relay.collect()
        for xid in list(self._relay.replies):
            reply = self._relay.replies.pop(xid)
            client = reply.chaddr.hex(":")
            if reply.type == MessageType.OFFER:
                chosen = {Option.REQUESTED_ADDRESS: reply.yiaddr.packed, Option.SERVER_IDENTIFIER: reply.options[54]}
                self._relay.send(MessageType.REQUEST, client, chosen)
            elif reply.type == MessageType.ACK:
                self.told[client] = reply.yiaddr

    def has_told(self, count: int) -> bool:
        """Go on, and say whether that many clients have their addresses."""
        self.step()
        return len(self.told) >= count


async def test_no_acknowledged_lease_is_lost_by_kill_9(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    pool = AddressRange(first=IPv4Address("127.77.1.0"), last=IPv4Address("127.77.40.255"))
    async with served(settings, loopback(unknown="lease", pools=[pool]), NODE01):
        pass
    config = tmp_path / "kickfleet.toml"
    config.write_text(CONFIG.format(data=settings.data))
    print(f"KICKFLEET_SEED={SEED}")
    chance, told = random.Random(SEED), dict[str, IPv4Address]()
    for number in range(ROUNDS):
        async with process(settings, config) as (child, address):
            with Relay(address) as relay:
                await check_some(relay, told)
                storm = Storm(relay, told)
                storm.begin(number * CLIENTS)
                enough = len(told) + chance.randrange(1, CLIENTS)
                await until(partial(storm.has_told, enough), "the storm is under way")
                child.send_signal(signal.SIGKILL)
                await child.wait()
                storm.step()  # what the server sent before it died has been promised as well
        recorded = records(settings)
        assert {client: recorded[client] for client in told} == told
    assert len(set(told.values())) == len(told), "an address was given twice"


async def check_some(relay: Relay, told: dict[str, IPv4Address]) -> None:
    """Clients from before the death ask whether their addresses still hold."""
    for client, given in list(told.items())[-5:]:
        again = await relay.ask(MessageType.REQUEST, client, REQUESTED_ADDRESS=given.packed)
        assert (again.type, again.yiaddr) == (MessageType.ACK, given)


def records(settings: Settings) -> dict[str, IPv4Address]:
    """The bound leases on the disk, by client."""
    with sqlite3.connect(settings.data / "dhcp" / "leases.db") as database:
        rows = database.execute("SELECT chaddr, address FROM leases WHERE state = 'bound'")
        return {chaddr.hex(":"): IPv4Address(address) for chaddr, address in rows}


class Disk:
    """Where leases go in the next test; it can be full."""

    def __init__(self) -> None:
        self.full = False
        self.saved: list[Lease] = []

    def save(self, leases: Iterable[Lease]) -> None:
        if self.full:
            raise StoreError("the lease database cannot be used: disk full")
        self.saved += leases


async def test_no_answer_leaves_while_leases_cannot_be_stored() -> None:
    lab, disk, parts = Lab().declare(loopback(), NODE01), Disk(), dict[str, bool]()
    events: list[Event] = []
    server = Server(
        lab.engine,
        save=disk.save,
        record=events.extend,
        told=lambda _: None,
        ready=lambda part, ok, _: parts.update({part: ok}),
        metrics=Metrics(CollectorRegistry()),
        log=structlog.get_logger(),
    )
    with Relay(server.open(HostPort("127.0.0.1", 0))) as relay:
        offer = await relay.ask(MessageType.DISCOVER, NODE01.macs[0])
        disk.full = True
        chosen = {50: offer.yiaddr.packed, 54: offer.options[54]}
        unanswered = relay.send(MessageType.REQUEST, NODE01.macs[0], chosen)
        await until(lambda: parts.get("leases") is False, "the full disk is told")
        relay.collect()
        assert unanswered not in relay.replies
        assert [event.TYPE for event in events] == ["lease.offered"]
        disk.full = False
        again = await relay.answer(relay.send(MessageType.REQUEST, NODE01.macs[0], chosen))
        assert again.type == MessageType.ACK
        assert parts["leases"]
        assert {lease.address for lease in disk.saved} == {offer.yiaddr}
    server.close()


async def test_an_offer_does_not_wait_for_the_leases_of_its_batch() -> None:
    lab, disk = Lab().declare(loopback(unknown="lease")), Disk()
    disk.full = True
    server = Server(
        lab.engine,
        save=disk.save,
        record=lambda _: None,
        told=lambda _: None,
        ready=lambda *_: None,
        metrics=Metrics(CollectorRegistry()),
        log=structlog.get_logger(),
    )
    with Relay(server.open(HostPort("127.0.0.1", 0))) as relay:
        refused = relay.send(MessageType.REQUEST, mac(1), {50: IPv4Address("127.77.1.1").packed, 54: LOCAL.packed})
        offered = relay.send(MessageType.DISCOVER, mac(2))
        assert (await relay.answer(offered)).type == MessageType.OFFER
        assert refused not in relay.replies
    server.close()


async def test_many_answers_share_one_sync() -> None:
    """Everything that waits in the socket is one batch, and one transaction."""
    lab, commits = Lab().declare(loopback(unknown="lease")), list[list[Lease]]()
    server = Server(
        lab.engine,
        save=lambda leases: commits.append(list(leases)),
        record=lambda _: None,
        told=lambda _: None,
        ready=lambda *_: None,
        metrics=Metrics(CollectorRegistry()),
        log=structlog.get_logger(),
    )
    with Relay(server.open(HostPort("127.0.0.1", 0))) as relay:
        first = IPv4Address("127.77.1.0")
        asked = [
            relay.send(MessageType.REQUEST, mac(number), {50: (first + number).packed, 54: LOCAL.packed})
            for number in range(100)
        ]
        for xid in asked:
            assert (await relay.answer(xid)).type == MessageType.ACK
    server.close()
    assert [len(leases) for leases in commits] == [100]
