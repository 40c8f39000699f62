"""Who is served, what is reported, and what happens when the pool or the patience is at its end."""

from datetime import UTC, datetime
from ipaddress import IPv4Address
from uuid import UUID

import pytest

from libs.desired import AddressRange, InstallDocument
from libs.events import LeaseAcknowledged, LeaseExpired, LeaseOffered, MachineUnknown, PoolExhausted, RivalDetected
from libs.wire.dhcp_options import MessageType, Option, write_machine_identifier
from services.dhcp.exchange import REPORT_LIMIT, REPORT_SECONDS
from services.dhcp.leases import OFFER_SECONDS, State
from tests.services.dhcp.lab import MAC, NOW, OTHER, PXE, STRANGER, address, lab, machine, message, subnet

RIVAL = IPv4Address("10.77.0.66")


def small_pool(size: int) -> list[AddressRange]:
    return [AddressRange(first=IPv4Address("10.77.0.100"), last=IPv4Address("10.77.0.99") + size)]


def mac_number(number: int) -> str:
    return bytes((0x52, 0x54, 1, number >> 16, number >> 8 & 255, number & 255)).hex(":")


# --- unknown machines -------------------------------------------------------------------------------------------


def test_a_machine_that_nobody_registered_is_ignored_and_reported() -> None:
    uuid = UUID("00112233-4455-6677-8899-aabbccddeeff")
    answer = lab().discover(STRANGER, VENDOR_CLASS=PXE, CLIENT_MACHINE_IDENTIFIER=write_machine_identifier(uuid))
    assert answer.silent == "unknown_machine"
    event = answer.event(MachineUnknown)
    assert isinstance(event, MachineUnknown)
    assert (event.mac, event.machine, event.subnet, event.client) == (STRANGER, None, "rack1", "pxe")
    assert (event.arch, event.vendor_class, event.uuid) == ("bios", PXE.decode(), str(uuid))
    assert event.time == datetime.fromtimestamp(NOW, UTC)


def test_it_is_reported_once_per_interval() -> None:
    place = lab()
    assert place.discover(STRANGER).event(MachineUnknown)
    assert not place.discover(STRANGER).event(MachineUnknown)
    place.now += REPORT_SECONDS
    assert place.discover(STRANGER).event(MachineUnknown)


def test_a_flood_of_invented_addresses_is_not_a_flood_of_events() -> None:
    place = lab()
    told = sum(bool(place.discover(mac_number(number)).event(MachineUnknown)) for number in range(REPORT_LIMIT + 50))
    assert told == REPORT_LIMIT


@pytest.mark.parametrize("policy", ["discover", "lease"])
def test_a_subnet_may_give_addresses_to_unknown_machines(policy: str) -> None:
    place = lab(subnet(unknown=policy), machine())
    offer = place.discover(STRANGER)
    assert (offer.address, bool(offer.event(MachineUnknown))) == ("10.77.0.100", True)
    acknowledged = place.select(offer.address, STRANGER).event(LeaseAcknowledged)
    assert acknowledged
    assert (acknowledged.mac, acknowledged.machine) == (STRANGER, None)


def test_a_change_of_the_fleet_takes_effect_at_once() -> None:
    place = lab()
    assert place.discover(OTHER).silent == "unknown_machine"
    place.declare(machine("node02", OTHER))
    assert place.discover(OTHER).given
    place.fleet.put_machine("node02", None)
    assert place.discover(OTHER).silent == "unknown_machine"
    place.fleet.put_subnet("rack1", None)
    assert place.discover().silent == "no_subnet"


def test_every_address_of_a_machine_is_known() -> None:
    place = lab(subnet(), machine(macs=[MAC, OTHER], address=IPv4Address("10.77.0.11")))
    assert place.obtain() == "10.77.0.11"
    assert place.discover(OTHER).address == "10.77.0.100"


def test_of_two_machines_that_claim_one_reservation_the_first_by_name_has_it() -> None:
    claimed = IPv4Address("10.77.0.11")
    place = lab(subnet(), machine("b", OTHER, address=claimed), machine("a", address=claimed))
    assert (place.discover(OTHER).address, place.discover().address) == ("10.77.0.100", "10.77.0.11")


def test_events_name_machine_and_install() -> None:
    install = InstallDocument(id="i-1", token="t", ordered_at=datetime(2030, 1, 1, tzinfo=UTC))
    place = lab(subnet(), machine(netboot="install", install=install))
    event = place.discover(VENDOR_CLASS=PXE).event(LeaseOffered)
    assert isinstance(event, LeaseOffered)
    assert (event.mac, event.machine, event.install_id, event.ip) == (MAC, "node01", "i-1", "10.77.0.100")
    assert (event.client, event.arch, event.boot_file, event.relay) == ("pxe", "bios", "pxelinux.0", None)


def test_a_relayed_event_names_the_relay() -> None:
    event = lab().relayed(message(MessageType.DISCOVER)).event(LeaseOffered)
    assert isinstance(event, LeaseOffered)
    assert (event.relay, event.subnet) == ("10.88.0.1", "rack2")


# --- rivals -----------------------------------------------------------------------------------------------------


def test_a_machine_that_takes_another_servers_offer_betrays_it() -> None:
    place = lab()
    answer = place.select("10.77.0.150", server=RIVAL)
    event = answer.event(RivalDetected)
    assert isinstance(event, RivalDetected)
    assert (event.server, event.machine, event.subnet) == (str(RIVAL), "node01", "rack1")
    assert not place.select("10.77.0.150", server=RIVAL).event(RivalDetected)


def test_an_unknown_machine_betrays_nobody() -> None:
    place = lab(subnet(unknown="lease"), machine())
    assert not place.select("10.77.0.150", STRANGER, RIVAL).event(RivalDetected)


# --- the end of the pool ----------------------------------------------------------------------------------------


def test_an_exhausted_pool_is_silent_and_reported_with_its_counts() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(3)), machine())
    place.obtain(mac_number(1))
    place.decline(place.obtain(mac_number(2)), mac_number(2))
    place.discover(mac_number(3))
    answer = place.discover()
    assert answer.silent == "pool_exhausted"
    event = answer.event(PoolExhausted)
    assert isinstance(event, PoolExhausted)
    assert (event.size, event.leased, event.offered, event.quarantined) == (3, 1, 1, 1)
    assert not place.discover().event(PoolExhausted)


def test_an_offer_that_nobody_takes_frees_its_address() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(1)), machine())
    place.discover(STRANGER)
    assert place.discover().silent == "pool_exhausted"
    place.now += OFFER_SECONDS
    assert place.discover().address == "10.77.0.100"


def test_the_lease_that_is_over_for_longest_is_reclaimed_first() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(2)), machine())
    second, first = mac_number(2), mac_number(1)
    oldest = place.obtain(first)
    place.now += 60
    place.obtain(second)
    place.now += 7200
    assert place.obtain() == oldest
    assert place.discover(second).address != oldest
    assert place.discover(first).silent == "pool_exhausted"


def test_a_lease_that_runs_out_is_an_event() -> None:
    place = lab()
    held = place.obtain()
    place.now += 3600
    batch = place.engine.handle([], place.now)
    (event,) = batch.events
    assert isinstance(event, LeaseExpired)
    assert (event.mac, event.machine, event.ip, event.subnet) == (MAC, "node01", held, "rack1")
    assert [lease.state for lease in batch.changes] == [State.EXPIRED]
    assert not place.engine.handle([], place.now).events


def test_reservations_are_nobody_elses_also_inside_the_pool() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(3)), machine(address=IPv4Address("10.77.0.101")))
    others = [place.obtain(mac_number(number)) for number in (1, 2)]
    assert others == ["10.77.0.100", "10.77.0.102"]
    assert place.discover(STRANGER, REQUESTED_ADDRESS=address("10.77.0.101")).silent == "pool_exhausted"
    assert place.obtain() == "10.77.0.101"


def test_a_reservation_that_is_dropped_is_free_again() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(1)), machine(address=IPv4Address("10.77.0.100")))
    assert place.discover(STRANGER).silent == "pool_exhausted"
    place.declare(machine(address=None))
    assert place.discover(STRANGER).address == "10.77.0.100"


def test_a_reserved_address_in_use_by_another_is_waited_for() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    taken = place.obtain(OTHER)
    place.declare(machine(address=IPv4Address(taken)))
    assert place.obtain() == "10.77.0.101"
    assert place.renew(taken, OTHER).given.type == MessageType.NAK
    place.now += 3600
    assert place.obtain() == taken


def test_a_pool_that_grows_gives_its_new_addresses() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(1)), machine())
    place.obtain(STRANGER)
    assert place.discover().silent == "pool_exhausted"
    place.declare(subnet(unknown="lease", pools=small_pool(2)))
    assert place.discover().address == "10.77.0.101"


def test_a_name_server_is_always_named() -> None:
    assert lab(subnet(dns=[]), machine()).discover().given.options[6] == address("10.77.0.1")
    assert lab(subnet(dns=[], gateway=None), machine()).discover().given.options[6] == address("10.77.0.2")


def test_names_of_machine_and_domain_are_told() -> None:
    place = lab(subnet(), machine("node01.lab.example"))
    options = place.discover().given.options
    assert (options[Option.HOST_NAME], options[Option.DOMAIN_NAME]) == (b"node01", b"lab.example")
