"""Two dhcp services on one subnet, with a real bus: what is promised in services/dhcp/README.md."""

from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from libs.bus import BusUnavailable
from libs.events import LeaseAcknowledged, LeaseExpired, RivalDetected
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.sharing import forgetting, identity, partition
from tests.services.dhcp.lab import machine
from tests.services.dhcp.relay import Relay
from tests.services.dhcp.sharing.pair import OPEN, SIZE, Pair, mac, pair, request, shared_subnet
from tests.services.dhcp.test_service import held
from tests.support.running import recorder
from tests.support.waiting import until


async def exchange(relay: Relay, number: int) -> Message:
    """A client that only this server hears obtains an address."""
    granted = await relay.obtain(mac(number))
    assert granted.type == MessageType.ACK
    return granted


def seconds(granted: Message) -> int:
    """The lease time of an answer."""
    return int.from_bytes(granted.options[Option.LEASE_TIME], "big")


async def test_both_answer_and_the_client_picks(tmp_path: Path) -> None:
    fleet = (shared_subnet(), *(machine(f"node{number}", mac(number)) for number in range(SIZE)))
    async with pair(tmp_path, *fleet) as it, recorder(it.settings) as tape:
        left, right = await it.both()
        offers = [await relay.ask(MessageType.DISCOVER, mac(1)) for relay in (left, right)]
        assert [offer.type for offer in offers] == [MessageType.OFFER] * 2
        assert offers[0].yiaddr != offers[1].yiaddr
        assert (int(offers[0].yiaddr) + int(offers[1].yiaddr)) % 2 == 1, "each of its own part"
        unanswered = request(left, mac(1), offers[1])
        granted = await right.answer(request(right, mac(1), offers[1]))
        assert (granted.type, granted.yiaddr) == (MessageType.ACK, offers[1].yiaddr)
        given = {(await exchange(left, 2 + number)).yiaddr for number in range(SIZE // 2)}
        assert offers[0].yiaddr in given, "the offer that was not taken is free again"
        assert unanswered not in left.replies
        await until(lambda: tape.of(LeaseAcknowledged, mac=mac(1)), "the lease is told")
        assert not tape.of(RivalDetected), "the other server is no rival"
        assert len(tape.of(LeaseAcknowledged, mac=mac(1))) == 1
        address = str(granted.yiaddr)
        await until(lambda: address in it.stored("left"), "the other server knows the lease")
        assert it.stored("left")[address] == it.stored("right")[address]


async def test_whatever_server_a_known_client_asks_it_keeps_its_address(tmp_path: Path) -> None:
    async with pair(tmp_path) as it:
        left, right = await it.both()
        address = (await exchange(left, 1)).yiaddr
        await until(lambda: str(address) in it.stored("right"), "the other server knows the lease")
        assert (await exchange(right, 1)).yiaddr == address
        renewed = await right.ask(MessageType.REQUEST, mac(1), str(address))
        assert (renewed.type, renewed.yiaddr, seconds(renewed)) == (MessageType.ACK, address, 3600)
        rebooted = await right.ask(MessageType.REQUEST, mac(1), REQUESTED_ADDRESS=address.packed)
        assert (rebooted.type, rebooted.yiaddr) == (MessageType.ACK, address)
        end = it.stored("right")[str(address)][2]
        await until(lambda: it.stored("left")[str(address)][2] == end, "the extension is known to the owner")
        assert (await it.records())[str(address)]["expires"] == end, "the bus agreed before the client was told"


async def test_a_killed_servers_clients_are_carried_by_the_other(tmp_path: Path) -> None:
    """kill -9; RENEWING by unicast meets nobody, REBINDING and INIT-REBOOT reach the other server."""
    fleet = (shared_subnet(), *(machine(f"node{number}", mac(number)) for number in range(SIZE)))
    async with pair(tmp_path, *fleet) as it:
        left, right = await it.both(apart=True)
        held = [(await exchange(right, number)).yiaddr for number in range(10)]
        await until(lambda: {str(a) for a in held} <= it.stored("left").keys(), "left knows the leases")
        await it.stop("right")
        for number, address in enumerate(held):
            answer = await left.ask(MessageType.REQUEST, mac(number), str(address))
            assert (answer.type, answer.yiaddr, seconds(answer)) == (MessageType.ACK, address, 3600)
        answer = await left.ask(MessageType.REQUEST, mac(0), REQUESTED_ADDRESS=held[0].packed)
        assert (answer.type, answer.yiaddr) == (MessageType.ACK, held[0])
        fresh = {(await exchange(left, 10 + number)).yiaddr for number in range(SIZE // 2)}
        assert not fresh & set(held)
        assert len(fresh) == SIZE // 2, "left gives out its whole part"
        silent = left.send(MessageType.DISCOVER, mac(63))
        await left.ask(MessageType.REQUEST, mac(1), str(held[1]))  # answered after the other, were that answered
        left.collect()
        assert silent not in left.replies, "and nothing of a server's that may still be alive"
        ends = {address: record[2] for address, record in it.stored("left").items()}
        right = await it.start("right", apart=True)
        await until(lambda: {a: r[2] for a, r in it.stored("right").items()} == ends, "right learns what it missed")
        answer = await right.ask(MessageType.REQUEST, mac(3), str(held[3]))
        assert (answer.type, answer.yiaddr) == (MessageType.ACK, held[3])


async def test_without_the_bus_each_goes_on_with_its_own_part_and_leases_merge_later(tmp_path: Path) -> None:
    async with pair(tmp_path) as it:
        left, right = await it.both()
        known = (await exchange(right, 500)).yiaddr
        await until(lambda: str(known) in it.stored("left"), "left knows it")
        await it.bus_away()
        given: dict[IPv4Address, int] = {}
        for number in range(OPEN):
            relay = left if number < OPEN // 2 else right
            given[(await exchange(relay, number)).yiaddr] = number
        assert len(given) == OPEN
        assert known not in given
        renewed = await right.ask(MessageType.REQUEST, mac(500), str(known))
        assert seconds(renewed) == 3600, "its own server extends it"
        rest = await left.ask(MessageType.REQUEST, mac(500), str(known))
        assert rest.type == MessageType.ACK
        assert 3500 < seconds(rest) < 3600, "the other confirms what is left of it"
        await it.bus_back()
        await until(lambda: it.stored("left") == it.stored("right"), "the leases are one again")
        assert {address: record[1] for address, record in it.stored("left").items()} == {
            **{str(address): mac(number) for address, number in given.items()},
            str(known): mac(500),
        }
        answer = await left.ask(MessageType.REQUEST, mac(500), str(known))
        assert seconds(answer) == 3600


async def test_a_lease_that_the_other_server_extended_is_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner does not hear of the extension in time: it is told when it asks the bus to agree to the end."""
    monkeypatch.setattr(partition, "CLOCK_SKEW", 0.5)
    async with pair(tmp_path, shared_subnet(lease_seconds=2)) as it, recorder(it.settings) as tape:
        left, right = await it.both(apart=True)
        kept = (await exchange(right, 1)).yiaddr
        await until(lambda: str(kept) in it.stored("left"), "left knows the lease")
        await it.stop("right")
        await left.ask(MessageType.REQUEST, mac(1), str(kept))
        lapsed = (await exchange(left, 2)).yiaddr
        await until(lambda: tape.of(LeaseExpired, ip=str(lapsed)), "a lease of left's own ends")
        assert it.stored("left")[str(kept)][0] == "bound", "that of the other server's part is its to end"
        assert not tape.of(LeaseExpired, ip=str(kept))
        granted = await left.ask(MessageType.REQUEST, mac(1), str(kept))
        assert granted.type == MessageType.ACK, "until then its client may come back"
        await it.start("right", apart=True)
        await until(lambda: tape.of(LeaseExpired, ip=str(kept)), "its owner is back and ends it")
        assert len(tape.of(LeaseExpired, ip=str(kept))) == 1


async def test_a_reservation_is_served_by_either_also_while_one_is_dead_and_the_bus_away(tmp_path: Path) -> None:
    reserved = [IPv4Address("127.77.0.50"), IPv4Address("127.77.0.51")]
    fleet = [machine(f"node{n}", mac(n), address=address) for n, address in enumerate(reserved)]
    async with pair(tmp_path, shared_subnet(), *fleet) as it:
        left, right = await it.both()
        for number, address in enumerate(reserved):
            for relay in (left, right):
                assert (await exchange(relay, number)).yiaddr == address
        await it.bus_away()
        for number, address in enumerate(reserved):
            for relay in (left, right):
                assert (await exchange(relay, number)).yiaddr == address


async def test_a_second_server_takes_part_only_when_the_first_has_agreed(tmp_path: Path) -> None:
    async with pair(tmp_path, shared_subnet(lease_seconds=3)) as it:
        left = await it.start("left")
        await until(lambda: held(it.settings_of("left")), "left knows the fleet")
        address = (await exchange(left, 1)).yiaddr
        assert await it.records() == {}, "a server alone tells nobody of its leases"
        await it.stop("left")
        right = await it.start("right")
        await until(lambda: held(it.settings_of("right")), "right knows the fleet")
        silent = right.send(MessageType.DISCOVER, mac(2))
        assert it.parts("right") == []
        left = await it.start("left")
        await it.agreed(2)
        right.collect()
        assert silent not in right.replies
        await until(lambda: str(address) in it.stored("right"), "what the first gave alone is known")


async def test_a_server_that_is_gone_for_good_is_forgotten_and_its_part_rests_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "CLOCK_SKEW", 0.5)
    monkeypatch.setattr(forgetting, "CLOCK_SKEW", 0.5)
    async with pair(tmp_path, shared_subnet(lease_seconds=4)) as it:
        left, right = await it.both(apart=True)
        held = (await exchange(right, 1)).yiaddr
        await until(lambda: str(held) in it.stored("left"), "left knows the lease")
        await it.stop("right")
        ask = partial(it.bus.request, "kickfleet.rpc.dhcp.forget", timeout=2)

        async def forgotten() -> bool:
            with suppress(BusUnavailable):  # the bus may still take the dead server for one that answers
                return len((await ask({"server": "right"}))["forgotten"]) == 1
            return False

        assert "error" in await until(lambda: ask({}), "an answer")
        await until(forgotten, "right is forgotten")
        assert await ask({"server": "left"}) == {"forgotten": []}, "a server does not forget itself"
        await until(lambda: len(it.parts("left")) == 2, "left knows, and waits")
        await until(lambda: it.parts("left") == [[left_id(it)]], "what right may have given unheard has run out")
        given = {(await exchange(left, 100 + number)).yiaddr for number in range(OPEN)}
        assert len(given) == OPEN, "right's part is left's now"
        await until(lambda: nothing_of(it), "a server alone tells nobody of its leases")


def left_id(it: Pair) -> str:
    return identity.load(it.settings_of("left").data / "dhcp" / "sharing.json").id


async def nothing_of(it: Pair) -> bool:
    return not await it.records()
