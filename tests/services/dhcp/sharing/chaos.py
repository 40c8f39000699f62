"""Clients everywhere, servers that die, a bus that comes and goes: no address is ever acknowledged to two clients
whose lease times overlap. Everything is real; the seed decides what happens, the machine's pace decides when."""

import random
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, Option
from tests.services.dhcp.lab import machine
from tests.services.dhcp.relay import Relay
from tests.services.dhcp.sharing.pair import NAMES, Pair, mac, pair, shared_subnet
from tests.support.waiting import until

CLIENTS = 90  # more than the pool has room for, so that addresses change hands
SECONDS = 16.0  # how long it goes on
BETWEEN = 0.7  # seconds between two things that befall servers or bus
LEASE_SECONDS = 3
CONSTANTS = {"skew": 0.5, "least": 1}  # so that addresses change hands within so short a time
BEACON = "52:54:03:ff:ff:ff"  # a machine with a reservation: every server answers it at any time


@dataclass
class Client:
    """What a client believes: the address that it may use, of which server, until when (monotonic seconds)."""

    address: IPv4Address | None = None
    server: bytes = b""
    until: float = 0.0
    transaction: int = 0  # the one under way; answers to earlier ones are not taken any more
    offers: dict[str, Message] = field(default_factory=dict)


@dataclass
class Crowd:
    """All clients, and the rule that they watch."""

    chance: random.Random
    clients: dict[str, Client] = field(default_factory=lambda: {mac(number): Client() for number in range(CLIENTS)})
    # By server and transaction: when it was asked, and by whom; a client that has let go hears no more.
    asked: dict[tuple[str, int], tuple[float, Client, int]] = field(default_factory=dict)
    granted: int = 0
    kept: int = 0
    changed_hands: int = 0
    holders: dict[IPv4Address, str] = field(default_factory=dict)
    diary: list[tuple[float, str, str]] = field(default_factory=list)  # when, which client, what it said or heard

    def _note(self, client: str, what: str) -> None:
        self.diary.append((time.monotonic(), client, what))

    def _story(self, *clients: str) -> str:
        """What these clients said and heard in the last seconds."""
        since = time.monotonic() - 2 * LEASE_SECONDS
        return "\n".join(
            f"{at - since:.3f} {who[-5:]} {what}" for at, who, what in self.diary if who in clients and at > since
        )

    def ask(self, relays: dict[str, Relay]) -> None:
        """Some clients do what clients do, towards some servers."""
        for client in self.chance.sample(sorted(self.clients), 20):
            mine = self.clients[client]
            if mine.address and mine.until > time.monotonic():
                self._use(client, mine.address, relays)
            else:
                if mine.address:
                    self.clients[client] = Client()
                self._start(client, self.clients[client], relays)

    def _use(self, client: str, address: IPv4Address, relays: dict[str, Relay]) -> None:
        what, names = self.chance.random(), sorted(relays)
        if what < 0.3:  # RENEWING
            self._send(relays, [self.chance.choice(names)], client, {}, str(address))
        elif what < 0.4:  # REBINDING
            self._send(relays, names, client, {}, str(address))
        elif what < 0.5:  # INIT-REBOOT
            self._send(relays, names, client, {Option.REQUESTED_ADDRESS: address.packed})
        elif what < 0.55:  # it leaves, and may return at once
            server = {Option.SERVER_IDENTIFIER: self.clients[client].server}
            self.clients[client] = Client()
            name = self.chance.choice(names)
            self._note(client, f"RELEASE to {name} of {address}")
            relays[name].send(MessageType.RELEASE, client, server, str(address))
        elif what < 0.6:  # it starts anew without a word
            self.clients[client] = Client()

    def _start(self, client: str, mine: Client, relays: dict[str, Relay]) -> None:
        names = sorted(relays)
        if mine.offers:
            offer = mine.offers[self.chance.choice(sorted(mine.offers))]
            mine.offers.clear()
            chosen = {Option.REQUESTED_ADDRESS: offer.yiaddr.packed, Option.SERVER_IDENTIFIER: offer.options[54]}
            self._send(relays, [name for name in names if self.chance.random() < 0.9], client, chosen)
        else:
            mine.transaction += 1
            for name in names:
                relays[name].send(MessageType.DISCOVER, client)

    def _send(
        self,
        relays: dict[str, Relay],
        names: list[str],
        client: str,
        options: dict[Option, bytes],
        ciaddr: str = "0.0.0.0",
    ) -> None:
        mine = self.clients[client]
        mine.transaction += 1
        for name in names:
            before = time.monotonic()
            xid = relays[name].send(MessageType.REQUEST, client, options, ciaddr)
            self._note(
                client, f"REQUEST {xid} to {name} of {ciaddr}, { {k.name: v.hex('.') for k, v in options.items()} }"
            )
            self.asked[name, xid] = before, mine, mine.transaction

    def hear(self, relays: dict[str, Relay]) -> None:
        """Take the answers, and look whether an address is anybody else's."""
        for name, relay in relays.items():
            relay.collect()
            for xid in list(relay.replies):
                self._take(name, relay.replies.pop(xid), xid)

    def _take(self, name: str, reply: Message, xid: int) -> None:
        client = reply.chaddr.hex(":")
        mine = self.clients.get(client)
        if mine is None:
            return  # the beacon
        self._note(client, f"hears {MessageType(reply.type or 0).name} {xid} of {reply.yiaddr} from {name}")
        if reply.type == MessageType.OFFER:
            mine.offers[name] = reply
        elif reply.type == MessageType.ACK:
            asked, asking, transaction = self.asked[name, xid]
            if asking is mine and transaction == mine.transaction:
                self._granted(client, mine, reply, name, asked)

    def _granted(self, client: str, mine: Client, reply: Message, name: str, asked: float) -> None:
        """A client counts from when it asked (RFC 2131 section 4.4.1)."""
        address, now = reply.yiaddr, time.monotonic()
        for other, theirs in self.clients.items():
            is_double = other != client and theirs.address == address and theirs.until > now
            assert not is_double, (
                f"{address} is {client}'s by {name}, and {other}'s for {theirs.until - now} s more\n"
                + self._story(client, other)
            )
        self.granted += 1
        self.kept += mine.address == address
        self.changed_hands += self.holders.get(address, client) != client
        self.holders[address] = client
        ends = asked + int.from_bytes(reply.options[Option.LEASE_TIME], "big")
        mine.until = max(ends, mine.until) if mine.address == address else ends
        mine.address, mine.server = address, reply.options[Option.SERVER_IDENTIFIER]
        mine.offers.clear()


async def befall(it: Pair, chance: random.Random) -> None:
    """One thing happens to the bus or to a server."""
    assert it.server.process
    if chance.random() < 0.6:
        await (it.bus_away() if it.server.process.returncode is None else it.bus_back())
    elif len(it.relays) == len(NAMES):
        name = chance.choice(NAMES)
        await it.stop(name)
        del it.relays[name]
    else:
        (name,) = set(NAMES) - it.relays.keys()
        await it.start(name, apart=True)


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_address_is_ever_two_clients(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    crowd = Crowd(chance)
    beacon = machine("beacon", BEACON, address=IPv4Address("127.77.0.9"))
    async with pair(tmp_path, shared_subnet(lease_seconds=LEASE_SECONDS), beacon) as it:
        it.constants = CONSTANTS
        await it.both(apart=True, left_apart=True)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await befall(it, chance)
            pause = time.monotonic() + BETWEEN
            while time.monotonic() < pause:
                crowd.ask(it.relays)
                for relay in it.relays.values():  # answered behind all that was asked before
                    await relay.ask(MessageType.DISCOVER, BEACON)
                crowd.hear(it.relays)
        assert it.server.process
        if it.server.process.returncode is not None:
            await it.bus_back()
        for name in set(NAMES) - it.relays.keys():
            await it.start(name, apart=True)
        await it.agreed(2)
        await until(lambda: same_holders(it), "both know the same leases")
        assert crowd.kept
        assert crowd.changed_hands


def same_holders(it: Pair) -> bool:
    return it.stored("left") == it.stored("right")
