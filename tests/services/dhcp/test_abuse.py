"""What strangers can do to a pool and to the service's memory, and that known machines do not notice."""

import random
from ipaddress import IPv4Address, IPv4Network

import pytest

from libs.desired import AddressRange
from libs.events import MachineUnknown, PoolExhausted
from libs.wire.dhcp import Message, encode
from libs.wire.dhcp_options import MessageType, RelayOption
from services.dhcp.exchange import REPORT_LIMIT
from services.dhcp.leases import MAXIMUM_OFFERS, OFFER_SECONDS
from services.dhcp.quota import MOST_OFFERS, RESERVED_SHARE
from tests.services.dhcp.lab import MAC, OTHER, STRANGER, Lab, far_subnet, lab, machine, message, subnet
from tests.services.dhcp.test_fleet_rules import mac_number, small_pool

WIDE = [AddressRange(first=IPv4Address("10.77.0.10"), last=IPv4Address("10.77.255.250"))]

BEHIND_RELAYS = [AddressRange(first=IPv4Address("10.88.1.0"), last=IPv4Address("10.88.20.255"))]


def hall(size: int) -> Lab:
    """A subnet that serves anybody, with two known machines."""
    rack = subnet(unknown="lease", pools=small_pool(size))
    return lab(rack, machine(), machine("node02", OTHER))


def test_strangers_never_get_the_last_eighth_of_a_pool() -> None:
    place = hall(16)
    given = [place.discover(mac_number(number)).message for number in range(16)]
    assert [bool(offer) for offer in given] == [True] * 14 + [False] * 2
    assert 16 - 16 // RESERVED_SHARE == 14
    assert {place.obtain(), place.obtain(OTHER)} == {"10.77.0.114", "10.77.0.115"}


def test_a_stranger_without_an_offer_cannot_take_them_either() -> None:
    place = hall(8)
    for number in range(7):
        place.obtain(mac_number(number))
    assert place.select("10.77.0.107", STRANGER).given.type == MessageType.NAK
    assert place.obtain() == "10.77.0.107"


def test_a_stranger_that_has_an_address_keeps_it() -> None:
    place = hall(8)
    held = [place.obtain(mac_number(number)) for number in range(7)]
    assert place.renew(held[3], mac_number(3)).given.type == MessageType.ACK
    assert place.obtain(mac_number(3)) == held[3]


def test_what_strangers_give_back_strangers_get() -> None:
    place = hall(8)
    held = [place.obtain(mac_number(number)) for number in range(7)]
    assert place.discover(STRANGER).silent == "pool_exhausted"
    place.release(held[0], mac_number(0))
    offered = place.discover(STRANGER).address
    assert place.discover(mac_number(20)).silent == "pool_exhausted"
    place.now += OFFER_SECONDS
    assert place.discover(mac_number(20)).address == offered


def test_reservations_count_as_taken() -> None:
    """Of eight addresses four are kept for machines and one for machines to come."""
    kept = [machine(f"r{n}", mac_number(100 + n), address=IPv4Address("10.77.0.104") + n) for n in range(4)]
    place = lab(subnet(unknown="lease", pools=small_pool(8)), machine(), *kept)
    assert [bool(place.discover(mac_number(number)).message) for number in range(4)] == [True] * 3 + [False]
    assert place.obtain() == "10.77.0.103"
    for one in kept:
        place.fleet.put_machine(one.name, None)
    assert place.discover(STRANGER).address == "10.77.0.104"


def test_a_pool_at_its_end_for_strangers_is_reported() -> None:
    place = hall(8)
    for number in range(7):
        place.obtain(mac_number(number))
    event = place.discover(STRANGER).event(PoolExhausted)
    assert isinstance(event, PoolExhausted)
    assert (event.size, event.leased) == (8, 7)


def relayed(place: Lab, number: int, port: bytes, giaddr: str = "10.88.0.1") -> str:
    """A stranger behind a switch port; "" where it got an offer, else why not."""
    request = message(MessageType.DISCOVER, mac_number(number))
    return place.relayed(request, agent={RelayOption.CIRCUIT_ID: port}, giaddr=IPv4Address(giaddr)).silent


def test_a_switch_port_has_only_so_many_offers() -> None:
    place = lab(far_subnet(unknown="lease", cidr=IPv4Network("10.88.0.0/16"), pools=BEHIND_RELAYS), machine())
    most = MOST_OFFERS["circuit"]
    assert [relayed(place, number, b"port 1") for number in range(most)] == [""] * most
    assert relayed(place, most, b"port 1") == "too_many_offers"
    assert relayed(place, 0, b"port 1") == "", "a repeated DISCOVER is no further offer"
    assert relayed(place, most, b"port 2") == ""
    place.now += OFFER_SECONDS
    assert relayed(place, most + 1, b"port 1") == ""


def test_a_relay_has_only_so_many_offers_and_another_has_its_own() -> None:
    place = lab(far_subnet(unknown="lease", cidr=IPv4Network("10.88.0.0/16"), pools=BEHIND_RELAYS), machine())
    most = MOST_OFFERS["relay"]
    for number in range(most):
        assert relayed(place, number, b"port %d" % number) == ""
    assert relayed(place, most, b"port x") == "too_many_offers"
    assert relayed(place, most, b"port x", "10.88.0.2") == ""


def test_known_machines_have_no_limit() -> None:
    many = MOST_OFFERS["circuit"] + 10
    fleet = [machine(f"n{number}", mac_number(number)) for number in range(many)]
    place = lab(far_subnet(unknown="lease", cidr=IPv4Network("10.88.0.0/16"), pools=BEHIND_RELAYS), *fleet)
    assert [relayed(place, number, b"port 1") for number in range(many)] == [""] * many


@pytest.mark.parametrize(("policy", "flood"), [("ignore", 20_000), ("lease", 100_000)])
def test_a_flood_of_invented_machines_starves_nobody_and_fills_no_memory(policy: str, flood: int) -> None:
    place = lab(subnet(cidr=IPv4Network("10.77.0.0/16"), unknown=policy, pools=WIDE), machine(), machine("b", OTHER))
    place.desk.can_probe = True
    held = place.select("10.77.0.50", OTHER).address
    chance = random.Random(5)
    request = bytearray(encode(Message(op=1, xid=7, chaddr=bytes(6), options={53: b"\x01"})))
    events = 0
    for _ in range(flood):
        request[28:34] = b"\x02" + chance.randbytes(5)
        answer = place.engine.handle([place.datagram(bytes(request))], place.now)
        events += sum(isinstance(event, MachineUnknown) for event in answer.events)
        place.now += 0.0001
    assert events <= REPORT_LIMIT
    assert place.leases.offers <= MOST_OFFERS["relay"] <= MOST_OFFERS["all"] < MAXIMUM_OFFERS
    assert len(place.leases) == 1
    assert len(place.engine._probing) <= 256
    assert len(place.leases._offers_from) <= 2
    assert place.renew(held, OTHER).given.type == MessageType.ACK
    place.discover()
    place.now += 1
    assert place.engine.handle([], place.now).replies or place.discover().message
    assert place.select(place.discover().address).given.type == MessageType.ACK
    assert place.leases.at(IPv4Address(held))
    assert MAC in {lease.hardware.mac for lease in place.leases}
