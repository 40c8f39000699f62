"""Reservations and pools as operators think of them: one test for each outcome that services/dhcp/README.md names."""

from ipaddress import IPv4Address

import structlog
from structlog.testing import capture_logs

from libs.events import LeaseDeclined
from libs.wire.dhcp_options import MessageType
from services.dhcp.leases import QUARANTINE_SECONDS, State
from services.dhcp.shrinking import telling
from tests.services.dhcp.lab import MAC, OTHER, PXE, STRANGER, Lab, lab, machine, subnet
from tests.services.dhcp.test_fleet_rules import small_pool

RESERVED = "10.77.0.11"
TWO_CARDS = machine(macs=[MAC, OTHER], address=IPv4Address(RESERVED))


def take(place: Lab, mac: str, vendor_class: bytes = b"udhcp 1.35.0") -> str:
    """DISCOVER and REQUEST as a firmware or a system."""
    return place.obtain(mac, VENDOR_CLASS=vendor_class)


def test_a_reservation_for_a_machine_that_holds_a_pool_address_waits_for_its_next_start() -> None:
    place = lab()
    held = place.obtain()
    place.declare(machine(address=IPv4Address(RESERVED)))
    assert place.renew(held).address == held
    assert place.reboot(held).given.type == MessageType.NAK
    assert place.obtain() == RESERVED
    assert place.stored[IPv4Address(held)].state is State.RELEASED


def test_a_reservation_withdrawn_lets_the_machine_keep_the_address_until_it_starts() -> None:
    place = lab(subnet(), machine(address=IPv4Address(RESERVED)))
    place.obtain()
    place.declare(machine())
    assert place.renew(RESERVED).address == RESERVED
    assert place.reboot(RESERVED).given.type == MessageType.NAK
    assert place.obtain() == "10.77.0.100"


def test_a_reserved_address_that_another_machine_holds_is_taken_from_it_at_its_renewal() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain(OTHER)
    place.declare(machine(address=IPv4Address(held)))
    assert place.obtain() != held, "two machines never have one address"
    assert place.renew(held, OTHER).given.type == MessageType.NAK
    place.now += 3600
    assert place.obtain() == held


def test_a_reserved_address_that_its_machine_declines_is_replaced_by_one_of_the_pool() -> None:
    place = lab(subnet(), machine(address=IPv4Address(RESERVED)))
    place.obtain()
    assert place.decline(RESERVED).event(LeaseDeclined)
    assert place.obtain() == "10.77.0.100"
    place.now += QUARANTINE_SECONDS
    assert place.reboot("10.77.0.100").given.type == MessageType.NAK
    assert place.obtain() == RESERVED


def test_of_two_machines_with_one_address_the_first_by_name_has_it_and_the_other_one_of_the_pool() -> None:
    claimed = IPv4Address(RESERVED)
    place = lab(subnet(), machine("b", OTHER, address=claimed), machine("a", address=claimed))
    assert (place.obtain(OTHER), place.obtain()) == ("10.77.0.100", RESERVED)
    place.fleet.put_machine("a", None)
    place.now += 3600
    assert place.obtain(OTHER) == RESERVED


def test_a_reservation_of_another_network_does_not_count_here() -> None:
    place = lab(subnet(), machine(address=IPv4Address("10.88.0.11")))
    assert place.obtain() == "10.77.0.100"


def test_a_pool_address_that_is_reserved_meanwhile_goes_to_nobody_else() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(2)), machine(address=IPv4Address("10.77.0.100")))
    assert place.obtain(STRANGER) == "10.77.0.101"


def test_a_pool_shrunk_below_its_leases_says_so_and_takes_nothing_from_a_running_machine() -> None:
    place = lab(subnet(unknown="lease", pools=small_pool(3)), machine())
    held = [place.obtain(mac) for mac in (OTHER, STRANGER, MAC)]
    smaller = subnet(unknown="lease", pools=small_pool(1))
    with capture_logs() as said:
        telling(place.fleet, place.leases, structlog.get_logger())("rack1", smaller)
    (warning,) = said
    assert (warning["log_level"], warning["count"], warning["addresses"]) == ("warning", 2, held[1:])
    assert place.renew(held[1], STRANGER).address == held[1]
    assert place.reboot(held[1], STRANGER).given.type == MessageType.NAK
    with capture_logs() as said:
        telling(place.fleet, place.leases, structlog.get_logger())("rack1", smaller)
    assert said == [], "nothing has changed"


# --- machines with several cards ----------------------------------------------------------------------------------


def test_two_cards_in_use_at_once_have_two_addresses() -> None:
    place = lab(subnet(), TWO_CARDS)
    assert (take(place, MAC), take(place, OTHER)) == (RESERVED, "10.77.0.100")
    assert place.renew(RESERVED).address == RESERVED
    assert take(place, OTHER) == "10.77.0.100"


def test_firmware_on_another_card_takes_the_reservation_along() -> None:
    """A machine whose firmware asks runs nothing that could use the address."""
    place = lab(subnet(), TWO_CARDS)
    assert take(place, MAC) == RESERVED
    assert take(place, OTHER, PXE) == RESERVED
    assert place.stored[IPv4Address(RESERVED)].hardware.mac == OTHER
    assert place.renew(RESERVED).given.type == MessageType.NAK
    assert take(place, OTHER) == RESERVED, "its installer has it too"
    assert take(place, MAC, PXE) == RESERVED, "and back"


def test_an_offer_to_one_card_does_not_keep_the_reservation_from_the_next() -> None:
    place = lab(subnet(), TWO_CARDS)
    assert place.discover(MAC, VENDOR_CLASS=PXE).address == RESERVED
    assert take(place, OTHER, PXE) == RESERVED


def test_firmware_takes_no_other_machines_address_along() -> None:
    place = lab(subnet(), TWO_CARDS, machine("node02", STRANGER))
    held = take(place, STRANGER)
    place.declare(machine(macs=[MAC, OTHER], address=IPv4Address(held)))
    assert take(place, OTHER, PXE) != held


def test_a_card_moved_to_another_machine_takes_its_address_along_but_no_reservation() -> None:
    place = lab(subnet(), TWO_CARDS)
    assert take(place, MAC) == RESERVED
    place.declare(machine(macs=[OTHER], address=IPv4Address(RESERVED)), machine("node02", MAC))
    assert place.renew(RESERVED).given.type == MessageType.NAK
    assert take(place, MAC) == "10.77.0.100"
    assert take(place, OTHER, PXE) == RESERVED
