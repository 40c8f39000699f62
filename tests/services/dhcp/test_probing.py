"""The conflict probe: before its first use an address is looked for on the link; one test a rule."""

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from libs.desired import AddressRange, MachineDocument, SubnetDocument
from libs.events import LeaseDeclined, LeaseOffered
from libs.wire.arp import Sighting
from libs.wire.dhcp import BROADCAST_FLAG, encode
from libs.wire.dhcp_options import MessageType
from services.dhcp.leases import QUARANTINE_SECONDS, State
from services.dhcp.probing import MOST_PROBES, PROBE_SECONDS, WAIT_SECONDS, Probe
from services.dhcp.service import dhcp
from tests.services.dhcp.lab import (
    MAC,
    NOW,
    OTHER,
    Answer,
    Lab,
    far_subnet,
    lab,
    machine,
    message,
    subnet,
)
from tests.services.dhcp.link import CLIENT_INTERFACE, CLIENT_MAC, SERVER, Link
from tests.services.dhcp.test_fleet_rules import mac_number, small_pool
from tests.services.dhcp.test_real_clients import udhcpc
from tests.services.dhcp.test_service import declare, held
from tests.support import needs
from tests.support.running import bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

FIRST, SECOND = IPv4Address("10.77.0.100"), IPv4Address("10.77.0.101")
SQUATTER = bytes.fromhex("02000000beef")


def probing(*documents: SubnetDocument | MachineDocument) -> Lab:
    """A lab on a host that may probe."""
    place = lab(*documents)
    place.desk.can_probe = True
    return place


def passes(place: Lab, seconds: float) -> Answer:
    """Time passes and nothing comes in."""
    place.now += seconds
    return place.settle(place.engine.handle([], place.now))


def seen(place: Lab, at: IPv4Address, hardware: bytes = SQUATTER) -> Answer:
    """A host on the link says that it has an address."""
    return place.settle(place.engine.sighted([Sighting(at, hardware)], place.now))


def test_a_first_offer_waits_for_its_probe() -> None:
    """RFC 2131 section 2.2: the server SHOULD probe the address before it allocates it."""
    place = probing()
    asked = place.discover()
    assert (asked.silent, asked.batch.probes) == ("probing", [Probe(FIRST, 7)])
    assert not asked.batch.events
    assert place.engine.deadline == NOW + PROBE_SECONDS
    assert passes(place, PROBE_SECONDS / 2).message is None
    offer = passes(place, PROBE_SECONDS / 2)
    assert (offer.given.type, offer.address, offer.given.xid) == (MessageType.OFFER, str(FIRST), 0x1234ABCD)
    assert offer.event(LeaseOffered)
    assert place.engine.deadline is None
    assert place.select(offer.address).given.type == MessageType.ACK


def test_only_the_client_concerned_waits() -> None:
    place = probing(subnet(), machine(), machine("node02", OTHER))
    held = obtain(place, OTHER)
    place.discover()
    assert place.renew(held, OTHER).given.type == MessageType.ACK
    assert place.discover(OTHER).given.type == MessageType.OFFER


def obtain(place: Lab, mac: str = MAC) -> str:
    """DISCOVER, the probe's time, REQUEST."""
    place.discover(mac)
    return place.select(passes(place, PROBE_SECONDS).address, mac).address


def test_an_address_is_probed_once_and_not_before_each_offer() -> None:
    place = probing()
    obtain(place)
    assert place.discover().given.type == MessageType.OFFER
    place.now += 7200  # the lease has run out, and the client comes back
    assert place.discover().given.type == MessageType.OFFER


def test_an_offer_repeated_is_not_probed_again() -> None:
    place = probing()
    place.discover()
    passes(place, PROBE_SECONDS)
    assert place.discover().address == str(FIRST)


def test_a_discover_repeated_meanwhile_is_answered_once_and_no_later() -> None:
    place = probing()
    place.discover()
    passes(place, 0.1)
    again = message(MessageType.DISCOVER, flags=BROADCAST_FLAG)
    repeated = place.put(encode(again).replace(bytes.fromhex("1234abcd"), bytes.fromhex("00000009"), 1))
    assert (repeated.silent, repeated.batch.probes) == ("probing", [])
    offer = passes(place, PROBE_SECONDS - 0.1)
    assert offer.given.xid == 9
    assert len(offer.batch.replies) == 1


def test_an_address_in_use_is_quarantined_and_another_is_probed() -> None:
    """RFC 2131 section 2.2; the event names who answered."""
    place = probing()
    place.discover()
    conflict = seen(place, FIRST)
    event = conflict.event(LeaseDeclined)
    assert isinstance(event, LeaseDeclined)
    assert (event.mac, event.machine, event.ip) == (MAC, "node01", str(FIRST))
    assert (event.found_by, event.holder) == ("probe", SQUATTER.hex(":"))
    assert place.stored[FIRST].state is State.DECLINED
    assert place.stored[FIRST].expires == NOW + QUARANTINE_SECONDS
    assert conflict.batch.probes == [Probe(SECOND, 7)]
    assert passes(place, PROBE_SECONDS).address == str(SECOND)


def test_however_many_are_in_use_the_client_waits_no_longer_than_the_limit() -> None:
    place = probing(subnet(), machine())
    place.discover()
    for number in range(3):
        passes(place, 0.15)
        conflict = seen(place, FIRST + number)
        assert conflict.batch.probes == [Probe(FIRST + number + 1, 7)]
        assert place.engine.deadline is not None
        assert place.engine.deadline <= NOW + WAIT_SECONDS
    assert passes(place, NOW + WAIT_SECONDS - place.now).address == "10.77.0.103"


def test_the_machine_itself_is_no_conflict() -> None:
    """Its installed system may still use the address, on this card or another."""
    place = probing(subnet(), machine(macs=[MAC, OTHER]))
    place.discover()
    for own in (MAC, OTHER):
        assert not seen(place, FIRST, bytes.fromhex(own.replace(":", ""))).batch.events
    assert passes(place, PROBE_SECONDS).address == str(FIRST)


def test_an_address_that_nobody_probes_is_nobodys_conflict() -> None:
    place = probing()
    assert not seen(place, FIRST).batch.changes
    held = IPv4Address(obtain(place))
    assert not seen(place, held).batch.changes
    assert place.stored[held].state is State.BOUND


def test_a_reclaimed_address_is_probed_for_its_new_client() -> None:
    place = probing(subnet(pools=small_pool(1)), machine(), machine("node02", OTHER))
    obtain(place, OTHER)
    place.now += 7200
    assert place.discover().batch.probes == [Probe(FIRST, 7)]


def test_a_reserved_address_in_use_by_another_is_not_given_while_it_is() -> None:
    """The machine gets one of the pool, and its own when the quarantine is over."""
    reserved = IPv4Address("10.77.0.11")
    place = probing(subnet(), machine(address=reserved))
    place.discover()
    assert seen(place, reserved).event(LeaseDeclined)
    assert passes(place, PROBE_SECONDS).address == str(FIRST)
    place.now += QUARANTINE_SECONDS
    assert place.discover().batch.probes == [Probe(reserved, 7)]
    assert passes(place, PROBE_SECONDS).address == str(reserved)


def test_behind_a_relay_nothing_is_probed() -> None:
    """Its link is none of ours."""
    place = probing(far_subnet(), machine())
    answer = place.relayed(message(MessageType.DISCOVER))
    assert (answer.given.type, answer.batch.probes) == (MessageType.OFFER, [])


def test_without_the_capability_nothing_is_probed() -> None:
    assert lab().discover().given.type == MessageType.OFFER


def test_a_client_that_chose_another_server_meanwhile_is_left_alone() -> None:
    place = probing()
    place.discover()
    place.select(str(FIRST), server=IPv4Address("10.77.0.66"))
    assert passes(place, PROBE_SECONDS).message is None
    assert place.leases.offers == 0


def test_the_number_of_probes_is_bounded() -> None:
    """Beyond it, addresses are offered unprobed: a flood neither waits nor fills the link with questions."""
    wide = [AddressRange(first=IPv4Address("10.77.1.0"), last=IPv4Address("10.77.7.255"))]
    place = probing(subnet(cidr=IPv4Network("10.77.0.0/16"), unknown="lease", pools=wide))
    answers = [place.discover(mac_number(number)) for number in range(MOST_PROBES + 20)]
    assert sum(len(answer.batch.probes) for answer in answers) == MOST_PROBES
    assert all(answer.message for answer in answers[MOST_PROBES:])
    passes(place, PROBE_SECONDS)
    assert place.engine.deadline is None


# --- a real link ------------------------------------------------------------------------------------------------


@pytest.fixture
def link() -> Iterator[Link]:
    """The cable; the test is on the server's side."""
    needs.root()
    needs.program("ip", "iproute2")
    cable = Link()
    try:
        cable.build()
        with cable.entered():
            yield cable
    finally:
        cable.remove()


async def test_a_squatter_on_the_link_keeps_its_address_and_the_machine_gets_another(
    tmp_path: Path, link: Link
) -> None:
    """Somebody gave himself an address of the pool; a host beside the machine, with a hardware address of its own."""
    settings = settings_in(tmp_path, dhcp__listen="0.0.0.0", dhcp__port=67)
    macvlan = ["link", "add", "squatter", "link", CLIENT_INTERFACE, "type", "macvlan", "mode", "bridge"]
    for command in (macvlan, ["address", "add", f"{FIRST}/24", "dev", "squatter"], ["link", "set", "squatter", "up"]):
        process = await asyncio.create_subprocess_exec(*link.at_client("ip", *command))
        assert await process.wait() == 0
    async with nats_server(settings), bus_of(settings) as bus, recorder(settings) as tape:
        rack = subnet(gateway=IPv4Address(SERVER), pools=small_pool(10))
        await declare(bus, rack, machine(mac=CLIENT_MAC))
        async with service("dhcp", dhcp, settings):
            await until(lambda: held(settings) >= 2, "the service knows the fleet")
            async with udhcpc(link, tmp_path, "-q") as client:
                assert f"ip={SECOND} " in await client.seen("bound")
            (event,) = await until(lambda: tape.of(LeaseDeclined), "the conflict is an event")
            assert isinstance(event, LeaseDeclined)
            assert (event.ip, event.found_by, event.mac) == (str(FIRST), "probe", CLIENT_MAC)
            assert event.holder not in (None, CLIENT_MAC)
