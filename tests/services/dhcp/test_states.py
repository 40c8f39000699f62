"""REQUEST, DECLINE, RELEASE and INFORM by client state: one test a rule, the rule's section in its docstring."""

from ipaddress import IPv4Address

import pytest

from libs.desired import AddressRange
from libs.events import LeaseAcknowledged, LeaseDeclined, LeaseOffered, LeaseRefused, LeaseReleased
from libs.wire.dhcp import NONE
from libs.wire.dhcp_options import MessageType, Option, read_u32
from services.dhcp.leases import QUARANTINE_SECONDS, State
from tests.services.dhcp.lab import (
    MAC,
    OTHER,
    STRANGER,
    address,
    far_subnet,
    lab,
    machine,
    message,
    subnet,
)

ACK, NAK, OFFER = MessageType.ACK, MessageType.NAK, MessageType.OFFER

# --- DISCOVER ---------------------------------------------------------------------------------------------------


def test_a_discover_draws_an_offer_from_the_pool() -> None:
    """RFC 2131 section 4.3.1."""
    answer = lab().discover()
    assert (answer.given.type, answer.address) == (OFFER, "10.77.0.100")
    assert read_u32(answer.given.options[Option.LEASE_TIME]) == 3600
    assert answer.event(LeaseOffered)
    assert not answer.batch.changes


def test_a_reservation_comes_before_everything() -> None:
    """RFC 2131 section 4.3.1."""
    place = lab(subnet(), machine(address=IPv4Address("10.77.0.11")))
    assert place.discover(REQUESTED_ADDRESS=address("10.77.0.105")).address == "10.77.0.11"


def test_a_client_gets_the_address_that_it_has() -> None:
    """RFC 2131 section 4.3.1: "the client's current address as recorded in the client's current binding"."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    place.obtain(OTHER)
    held = place.obtain()
    assert place.discover(REQUESTED_ADDRESS=address("10.77.0.107")).address == held == "10.77.0.101"


def test_a_client_gets_the_address_that_it_had() -> None:
    """RFC 2131 section 4.3.1: "the client's previous address as recorded in the client's (now expired) binding"."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain()
    place.now += 7200
    place.obtain(OTHER)
    assert place.discover().address == held


def test_a_client_gets_the_address_that_it_asks_for_where_it_is_free() -> None:
    """RFC 2131 section 4.3.1."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    assert place.discover(REQUESTED_ADDRESS=address("10.77.0.107")).address == "10.77.0.107"
    assert place.discover(OTHER, REQUESTED_ADDRESS=address("10.77.0.107")).address != "10.77.0.107"


def test_a_repeated_discover_draws_the_same_offer() -> None:
    place = lab()
    assert place.discover().address == place.discover().address
    assert place.leases.offers == 1


def test_an_offered_address_is_not_offered_to_another() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    assert place.discover().address != place.discover(OTHER).address


# --- SELECTING --------------------------------------------------------------------------------------------------


def test_selecting_our_offer_draws_an_ack() -> None:
    """RFC 2131 section 4.3.2."""
    place = lab()
    answer = place.select(place.discover().address)
    assert (answer.given.type, answer.address) == (ACK, "10.77.0.100")
    event = answer.event(LeaseAcknowledged)
    assert isinstance(event, LeaseAcknowledged)
    assert (event.machine, event.ip, event.seconds, event.renewed) == ("node01", "10.77.0.100", 3600, False)
    lease = place.stored[IPv4Address("10.77.0.100")]
    assert (lease.state, lease.expires) == (State.BOUND, place.now + 3600)


def test_selecting_another_server_draws_silence_and_frees_the_offer() -> None:
    """RFC 2131 section 4.3.2: "the server may use the address for another client"."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    offered = place.discover().address
    answer = place.select(offered, server=IPv4Address("10.77.0.66"))
    assert answer.silent == "other_server"
    assert place.discover(OTHER, REQUESTED_ADDRESS=address(offered)).address == offered


def test_an_offer_forgotten_in_a_restart_is_honoured_while_the_address_is_free() -> None:
    assert lab().select("10.77.0.104").given.type == ACK


def test_selecting_an_address_that_another_has_is_refused() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    taken = place.obtain(OTHER)
    answer = place.select(taken)
    assert answer.given.type == NAK
    assert answer.event(LeaseRefused)


def test_selecting_another_address_than_the_offered_is_refused() -> None:
    place = lab()
    place.discover()
    assert place.select("10.77.0.109").given.type == NAK


def test_selecting_an_address_outside_the_pool_is_refused() -> None:
    assert lab().select("10.77.0.200").given.type == NAK


@pytest.mark.parametrize("own", ["10.77.0.0", "10.77.0.1", "10.77.0.2", "10.77.0.255"])
def test_network_broadcast_gateway_and_server_addresses_are_nobodys(own: str) -> None:
    everything = [AddressRange(first=IPv4Address("10.77.0.0"), last=IPv4Address("10.77.0.255"))]
    place = lab(subnet(pools=everything), machine(), machine("node02", OTHER))
    assert place.discover().address == "10.77.0.3"
    assert place.select(own, OTHER).given.type == NAK


# --- INIT-REBOOT ------------------------------------------------------------------------------------------------


def test_init_reboot_with_the_right_address_draws_an_ack() -> None:
    """RFC 2131 section 4.3.2."""
    place = lab()
    assert place.reboot(place.obtain()).given.type == ACK


def test_init_reboot_with_an_address_of_another_network_is_refused() -> None:
    """RFC 2131 section 4.3.2: "if the client's notion of its IP address is not correct"."""
    assert lab().reboot("192.168.1.20").given.type == NAK


def test_init_reboot_with_a_wrong_address_is_refused() -> None:
    """RFC 2131 section 4.3.2."""
    place = lab()
    place.obtain()
    assert place.reboot("10.77.0.109").given.type == NAK


def test_init_reboot_without_a_record_draws_silence() -> None:
    """RFC 2131 section 4.3.2: "the DHCP server MUST remain silent"."""
    assert lab().reboot("10.77.0.109").silent == "no_record"


@pytest.mark.parametrize("wanted", ["10.77.0.109", "192.168.1.20"])
def test_init_reboot_of_a_stranger_draws_silence(wanted: str) -> None:
    """RFC 2131 section 4.3.2: other servers may be authoritative for it."""
    assert lab(subnet(unknown="lease")).reboot(wanted, STRANGER).silent == "no_record"


def test_init_reboot_takes_up_a_reservation_made_meanwhile() -> None:
    place = lab()
    held = place.obtain()
    place.declare(machine(address=IPv4Address("10.77.0.11")))
    assert place.reboot(held).given.type == NAK
    assert place.obtain() == "10.77.0.11"
    assert place.stored[IPv4Address(held)].state is State.RELEASED


# --- RENEWING and REBINDING -------------------------------------------------------------------------------------


def test_renewing_extends_the_lease() -> None:
    """RFC 2131 section 4.3.2: answered to ciaddr."""
    place = lab()
    held = place.obtain()
    place.now += 1800
    answer = place.renew(held)
    assert (answer.given.type, answer.address, str(answer.given.ciaddr)) == (ACK, held, held)
    assert answer.sent.delivery.way == "unicast"
    assert place.stored[IPv4Address(held)].expires == place.now + 3600
    event = answer.event(LeaseAcknowledged)
    assert isinstance(event, LeaseAcknowledged)
    assert event.renewed


def test_a_machine_that_starts_anew_renews_nothing() -> None:
    """It takes the same address again, but by a new exchange."""
    place = lab()
    held = place.obtain()
    for answer in (place.select(place.discover().address), place.reboot(held)):
        event = answer.event(LeaseAcknowledged)
        assert isinstance(event, LeaseAcknowledged)
        assert not event.renewed


def test_rebinding_extends_the_lease() -> None:
    """RFC 2131 section 4.3.2."""
    place = lab()
    held = place.obtain()
    assert place.rebind(held).given.type == ACK


def test_a_lease_that_ran_out_is_extended_while_nobody_else_has_it() -> None:
    place = lab()
    held = place.obtain()
    place.now += 7200
    assert place.renew(held).given.type == ACK


def test_rebinding_without_a_record_draws_silence() -> None:
    """RFC 2131 section 4.3.2: the lease may be another server's."""
    assert lab().rebind("10.77.0.104").silent == "no_record"


def test_renewing_with_us_without_a_record_restores_the_lease() -> None:
    """It asks us by unicast: it had the address from us, and the record was lost."""
    assert lab().renew("10.77.0.104").given.type == ACK


def test_renewing_an_address_that_another_has_is_refused() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    taken = place.obtain(OTHER)
    assert place.renew(taken).given.type == NAK


def test_rebinding_on_another_network_is_refused() -> None:
    """RFC 2131 section 4.3.2."""
    assert lab().rebind("192.168.1.20").given.type == NAK


def test_a_running_machine_keeps_its_address_although_it_has_a_reservation_now() -> None:
    place = lab()
    held = place.obtain()
    place.declare(machine(address=IPv4Address("10.77.0.11")))
    assert place.renew(held).given.type == ACK


def test_a_running_machine_loses_an_address_that_is_reserved_for_another() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain()
    place.declare(machine("node02", OTHER, address=IPv4Address(held)))
    assert place.discover(OTHER).address != held
    assert place.renew(held).given.type == NAK


def test_a_running_machine_keeps_its_address_when_the_pool_shrinks() -> None:
    place = lab()
    held = place.obtain()
    place.declare(subnet(pools=[]))
    assert place.renew(held).given.type == ACK
    assert place.discover().silent == "pool_exhausted"


def test_a_request_that_names_no_address_draws_silence() -> None:
    place = lab()
    assert place.put(message(MessageType.REQUEST)).silent == "no_requested_address"


# --- refusals ---------------------------------------------------------------------------------------------------


def test_a_refusal_says_nothing_but_why() -> None:
    """RFC 2131 section 4.3.2 and table 3; RFC 6842 for option 61."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    taken = place.obtain(OTHER)
    refusal = place.select(taken, CLIENT_IDENTIFIER=b"\x01abc", PARAMETER_REQUEST_LIST=bytes((1, 3, 6, 67))).given
    assert set(refusal.options) == {53, 54, 56, 61}
    assert (refusal.yiaddr, refusal.siaddr, refusal.ciaddr, refusal.file) == (NONE, NONE, NONE, b"")


# --- DECLINE, RELEASE, INFORM -----------------------------------------------------------------------------------


def test_a_declined_address_is_in_quarantine() -> None:
    """RFC 2131 section 4.3.3."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain()
    answer = place.decline(held)
    assert (answer.silent, place.stored[IPv4Address(held)].state) == ("declined", State.DECLINED)
    assert answer.event(LeaseDeclined)
    assert place.obtain() != held
    assert place.discover(OTHER, REQUESTED_ADDRESS=address(held)).address != held


def test_a_quarantine_ends() -> None:
    place = lab()
    held = place.obtain()
    place.decline(held)
    place.now += QUARANTINE_SECONDS
    assert place.discover(REQUESTED_ADDRESS=address(held)).address == held
    assert IPv4Address(held) not in place.stored


def test_nobody_declines_what_it_does_not_hold() -> None:
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain()
    assert place.decline(held, OTHER).silent == "not_its_lease"
    assert place.stored[IPv4Address(held)].state is State.BOUND


def test_one_client_cannot_empty_the_pool_by_declining() -> None:
    place = lab()
    for _ in range(4):
        assert place.decline(place.obtain()).silent == "declined"
    assert place.decline(place.obtain()).silent == "too_many_declines"


def test_a_released_address_is_kept_for_the_client() -> None:
    """RFC 2131 section 4.3.4: the server SHOULD retain the client's parameters."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain()
    answer = place.release(held)
    assert (answer.silent, place.stored[IPv4Address(held)].state) == ("released", State.RELEASED)
    assert answer.event(LeaseReleased)
    assert place.obtain(OTHER) != held
    assert place.discover().address == held


def test_a_release_counts_only_from_the_holder() -> None:
    """RFC 2131 section 4.3.4."""
    place = lab(subnet(), machine(), machine("node02", OTHER))
    held = place.obtain()
    assert place.release(held, OTHER).silent == "not_its_lease"
    assert place.release("10.77.0.109").silent == "not_its_lease"
    assert place.release(held, server=IPv4Address("10.77.0.66")).silent == "other_server"
    assert place.stored[IPv4Address(held)].state is State.BOUND


def test_a_release_names_its_server() -> None:
    """RFC 2131 table 5."""
    place = lab()
    held = IPv4Address(place.obtain())
    assert place.put(message(MessageType.RELEASE, ciaddr=held), source=held).silent == "no_server_identifier"


def test_a_release_to_our_own_address_need_not_name_us() -> None:
    """RFC 2131 table 5 asks for option 54; systemd 252 leaves it out, and its lease would be held until it runs out."""
    place = lab()
    held = place.obtain()
    answer = place.unicast(message(MessageType.RELEASE, ciaddr=IPv4Address(held)), held)
    assert answer.silent == "released"
    assert place.stored[IPv4Address(held)].state is State.RELEASED


def test_an_inform_is_answered_to_ciaddr_without_address_and_times() -> None:
    """RFC 2131 section 4.3.5."""
    place = lab()
    answer = place.put(message(MessageType.INFORM, ciaddr=IPv4Address("10.77.0.240")))
    assert (answer.given.type, answer.given.yiaddr, str(answer.given.ciaddr)) == (ACK, NONE, "10.77.0.240")
    assert not {51, 58, 59} & set(answer.given.options)
    assert answer.given.options[Option.ROUTER] == address("10.77.0.1")
    assert (answer.sent.delivery.way, str(answer.sent.delivery.address)) == ("unicast", "10.77.0.240")
    assert not answer.batch.events


def test_an_inform_without_an_address_draws_silence() -> None:
    """RFC 2131 table 5: ciaddr is the client's address."""
    assert lab().put(message(MessageType.INFORM)).silent == "no_client_address"


# --- one machine, one address -----------------------------------------------------------------------------------


@pytest.mark.parametrize("client_id", [b"", b"\x01" + bytes.fromhex("525400000001"), b"\xff\x00\x01\x02duid"])
def test_the_client_identifier_makes_no_other_client(client_id: bytes) -> None:
    """Firmware, installer and system send different ones; the address stays."""
    place = lab()
    first = place.obtain()
    options = {"CLIENT_IDENTIFIER": client_id} if client_id else {}
    assert place.obtain(MAC, **options) == first
    assert place.stored[IPv4Address(first)].client_id == (client_id or None)


def test_a_machine_that_moves_has_an_address_in_each_network() -> None:
    place = lab(subnet(), far_subnet(), machine())
    near = place.obtain()
    far = place.relayed(message(MessageType.DISCOVER)).address
    assert (near, far) == ("10.77.0.100", "10.88.0.100")
