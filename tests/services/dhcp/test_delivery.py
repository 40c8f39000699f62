"""How replies travel, and what relays say and are told: one test a rule."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from libs.wire.dhcp import BROADCAST_FLAG, NONE, Message, encode
from libs.wire.dhcp_options import MessageType, Option, RelayOption
from tests.services.dhcp.lab import EVERYONE, MAC, RELAY, SERVER, address, far_subnet, lab, machine, message, subnet

DISCOVER = message(MessageType.DISCOVER)


# --- the four ways ----------------------------------------------------------------------------------------------


def test_a_client_without_address_gets_a_frame_of_its_own() -> None:
    """RFC 2131 section 4.1: unicast to yiaddr and chaddr, on the interface that the request came in by."""
    way = lab().put(DISCOVER).sent.delivery
    assert (way.way, str(way.address), way.port, way.index) == ("frame", "10.77.0.100", 68, 7)
    assert (way.chaddr.hex(":"), way.source) == (MAC, SERVER)


def test_a_client_that_sets_the_flag_gets_a_broadcast() -> None:
    """RFC 2131 section 4.1."""
    way = lab().put(message(MessageType.DISCOVER, flags=BROADCAST_FLAG)).sent.delivery
    assert (way.way, way.address, way.port, way.index, way.source) == ("broadcast", EVERYONE, 68, 7, SERVER)


def test_a_client_with_an_address_gets_a_datagram() -> None:
    """RFC 2131 section 4.1: to ciaddr, also where the flag is set."""
    place = lab()
    held = IPv4Address(place.obtain())
    renewal = message(MessageType.REQUEST, ciaddr=held, flags=BROADCAST_FLAG)
    way = place.unicast(renewal).sent.delivery
    assert (way.way, way.address, way.port) == ("unicast", held, 68)


def test_a_refusal_is_broadcast() -> None:
    """RFC 2131 section 4.1: "in all cases, when giaddr is zero, the server broadcasts any DHCPNAK messages"."""
    assert lab().reboot("192.168.1.20").sent.delivery.way == "broadcast"


def test_a_refusal_to_a_client_behind_a_router_goes_to_its_address() -> None:
    """A broadcast on our link would never reach it."""
    held = IPv4Address("10.88.0.250")
    way = lab().unicast(message(MessageType.REQUEST, ciaddr=held), str(held)).sent.delivery
    assert (way.way, way.address) == ("unicast", held)


def test_a_relayed_request_is_answered_to_the_relay() -> None:
    """RFC 2131 section 4.1."""
    way = lab().relayed(DISCOVER).sent.delivery
    assert (way.way, way.address, way.port, way.source) == ("relay", RELAY, 67, SERVER)


def test_a_relay_that_says_so_is_answered_at_the_port_it_sent_from() -> None:
    """RFC 8357 section 5."""
    answer = lab().relayed(DISCOVER, agent={RelayOption.CIRCUIT_ID: b"x", RelayOption.SOURCE_PORT: b""}, port=40123)
    assert (answer.sent.delivery.address, answer.sent.delivery.port) == (RELAY, 40123)


def test_a_relay_that_does_not_is_answered_at_port_67() -> None:
    assert lab().relayed(DISCOVER, agent={RelayOption.CIRCUIT_ID: b"x"}, port=40123).sent.delivery.port == 67


def test_a_relayed_refusal_has_the_broadcast_bit() -> None:
    """RFC 2131 section 4.3.2: "the server MUST set the broadcast bit in the DHCPNAK"."""
    request = message(MessageType.REQUEST, options={Option.REQUESTED_ADDRESS: address("192.168.1.20")})
    answer = lab().relayed(request)
    assert (answer.given.type, answer.given.flags) == (MessageType.NAK, BROADCAST_FLAG)
    assert (answer.given.giaddr, answer.sent.delivery.way) == (RELAY, "relay")


# --- which subnet -----------------------------------------------------------------------------------------------


def test_a_relayed_request_is_in_the_subnet_of_giaddr() -> None:
    assert lab().relayed(DISCOVER).address == "10.88.0.100"


def test_link_selection_comes_before_giaddr() -> None:
    """RFC 3527 section 3."""
    agent = {RelayOption.LINK_SELECTION: address("10.77.0.0")}
    answer = lab().relayed(DISCOVER, agent=agent)
    assert (answer.address, answer.given.giaddr) == ("10.77.0.100", RELAY)


def test_subnet_selection_comes_before_giaddr_and_is_echoed() -> None:
    """RFC 3011 section 2."""
    request = message(MessageType.DISCOVER, options={Option.SUBNET_SELECTION: address("10.77.0.0")})
    answer = lab().relayed(request)
    assert answer.address == "10.77.0.100"
    assert answer.given.options[Option.SUBNET_SELECTION] == address("10.77.0.0")


def test_link_selection_comes_before_subnet_selection() -> None:
    """RFC 3527 section 3."""
    request = message(MessageType.DISCOVER, options={Option.SUBNET_SELECTION: address("10.99.0.0")})
    assert lab().relayed(request, agent={RelayOption.LINK_SELECTION: address("10.77.0.0")}).address == "10.77.0.100"


def test_a_client_on_the_link_cannot_select_one_by_relay_options() -> None:
    agent = bytes((RelayOption.LINK_SELECTION, 4)) + address("10.88.0.0")
    request = message(MessageType.DISCOVER, options={Option.RELAY_AGENT_INFORMATION: agent})
    assert lab().put(request).address == "10.77.0.100"


@pytest.mark.parametrize("giaddr", ["10.99.0.1", "127.0.0.1"])
def test_a_relay_of_a_network_that_nobody_declared_is_ignored(giaddr: str) -> None:
    assert lab().relayed(DISCOVER, giaddr=IPv4Address(giaddr)).silent == "no_subnet"


def test_an_interface_that_no_subnet_names_is_ignored() -> None:
    """A subnet without `interface` is served through relays alone."""
    assert lab().put(DISCOVER, interface="eth0").silent == "no_subnet"


def test_a_renewal_from_behind_a_router_is_in_the_subnet_of_its_address() -> None:
    place = lab()
    offered = place.relayed(DISCOVER).address
    chosen = {Option.REQUESTED_ADDRESS: address(offered), Option.SERVER_IDENTIFIER: SERVER.packed}
    assert place.relayed(message(MessageType.REQUEST, options=chosen)).given.type == MessageType.ACK
    renewed = place.unicast(message(MessageType.REQUEST, ciaddr=IPv4Address(offered)), offered)
    assert (renewed.given.type, renewed.address) == (MessageType.ACK, offered)


def test_of_several_subnets_on_a_link_the_reservation_decides() -> None:
    second = far_subnet(interface="eth1")
    place = lab(subnet(), second, machine(address=IPv4Address("10.88.0.11")))
    assert place.discover().address == "10.88.0.11"
    assert lab(subnet(), second, machine()).discover().address == "10.77.0.100"


def test_of_nested_subnets_the_smallest_counts() -> None:
    inner = far_subnet(cidr=IPv4Network("10.88.0.0/25"))
    outer = far_subnet(name="outer", cidr=IPv4Network("10.88.0.0/16"), pools=[])
    assert lab(outer, inner, machine()).relayed(DISCOVER).address == "10.88.0.100"


# --- echoes -----------------------------------------------------------------------------------------------------


def test_what_the_client_must_recognise_is_echoed() -> None:
    """RFC 2131 table 3, RFC 6842 section 3."""
    request = message(
        MessageType.DISCOVER, options={Option.CLIENT_IDENTIFIER: b"\xff\x01\x02"}, flags=BROADCAST_FLAG, secs=9
    )
    reply = lab().put(request).given
    assert (reply.op, reply.xid, reply.flags, reply.chaddr) == (2, request.xid, request.flags, request.chaddr)
    assert (reply.htype, reply.hops, reply.secs, reply.ciaddr) == (1, 0, 0, NONE)
    assert reply.options[Option.CLIENT_IDENTIFIER] == b"\xff\x01\x02"


@pytest.mark.parametrize("kind", [MessageType.DISCOVER, MessageType.REQUEST])
def test_the_relays_option_is_echoed_unchanged_and_last(kind: MessageType) -> None:
    """RFC 3046 section 2.2; in a refusal too."""
    agent = {
        RelayOption.CIRCUIT_ID: b"\x00\x04vlan",
        RelayOption.REMOTE_ID: bytes(60),
        RelayOption.SOURCE_PORT: b"",
        151: b"vrf",
    }
    wanted = {Option.REQUESTED_ADDRESS: address("192.168.1.20"), Option.CLIENT_IDENTIFIER: b"\x01x"}
    answer = lab().relayed(message(kind, options=wanted), agent=agent)
    assert answer.given.type == (MessageType.OFFER if kind is MessageType.DISCOVER else MessageType.NAK)
    octets = b"\x01\x06\x00\x04vlan" + b"\x02\x3c" + bytes(60) + b"\x13\x00" + b"\x97\x03vrf"
    assert answer.given.options[82] == octets
    assert list(answer.given.options)[-1] == 82
    assert answer.sent.data.rstrip(b"\0").endswith(bytes((82, len(octets))) + octets + b"\xff")


def test_server_override_goes_into_the_server_identifier() -> None:
    """RFC 5107 section 4; the boot server stays ourselves."""
    place = lab(far_subnet(), machine(netboot="install"))
    agent = {RelayOption.SERVER_OVERRIDE: RELAY.packed}
    pxe = {Option.VENDOR_CLASS: b"PXEClient"}
    offer = place.relayed(message(MessageType.DISCOVER, options=pxe), agent=agent).given
    assert offer.options[Option.SERVER_IDENTIFIER] == RELAY.packed
    assert offer.siaddr == SERVER
    chosen = {Option.REQUESTED_ADDRESS: offer.yiaddr.packed, Option.SERVER_IDENTIFIER: RELAY.packed}
    assert place.relayed(message(MessageType.REQUEST, options=chosen), agent=agent).given.type == MessageType.ACK


# --- size and order ---------------------------------------------------------------------------------------------


def test_a_reply_has_at_least_300_octets() -> None:
    """RFC 1542 section 2.1."""
    refused = lab().reboot("192.168.1.20").sent
    assert len(refused.data) == 300


@pytest.mark.parametrize(("limit", "most"), [(None, 548), (100, 548), (576, 548), (700, 672), (65280, 1472)])
def test_a_reply_is_no_larger_than_the_client_takes(limit: int | None, most: int) -> None:
    """RFC 2132 section 9.10: the clamp is 576 to 1500 octets of IP datagram; firmware has said 65280."""
    long_names = subnet(domain="d" * 250, dns=[IPv4Address(number) for number in range(60)])
    options = {Option.MAXIMUM_MESSAGE_SIZE: limit.to_bytes(2)} if limit else {}
    reply = lab(long_names, machine()).put(message(MessageType.DISCOVER, options=options)).sent
    assert len(reply.data) <= most
    assert (b"d" * 250 in reply.data) == (most == 1472)


def test_what_matters_survives_the_smallest_size() -> None:
    place = lab(subnet(domain="d" * 250), machine(netboot="install"))
    request = message(MessageType.DISCOVER, options={Option.VENDOR_CLASS: b"PXEClient"})
    reply = place.put(request).given
    assert {53, 54, 51, 1, 3, 67, 60, 43} <= set(reply.options)


def test_options_come_in_the_order_that_the_client_lists_them() -> None:
    """RFC 2132 section 9.8; the mask before the router by section 3.3."""
    request = message(MessageType.DISCOVER, options={Option.PARAMETER_REQUEST_LIST: bytes((6, 3, 1, 15, 12, 99, 0))})
    order = list(lab().put(request).given.options)
    assert order[:8] == [53, 54, 51, 1, 6, 3, 15, 12]


def test_overload_is_read_and_never_written() -> None:
    """RFC 2132 section 9.3."""
    plain = encode(message(MessageType.DISCOVER), minimum=0)
    overloaded = bytearray(plain[:240] + b"\x34\x01\x01\xff")
    overloaded[108:112] = bytes((53, 1, MessageType.DISCOVER, 255))
    reply = lab(subnet(domain="d" * 250), machine()).put(bytes(overloaded)).given
    assert reply.type == MessageType.OFFER
    assert Option.OVERLOAD not in reply.options


# --- wrong input ------------------------------------------------------------------------------------------------


def raw(**fields: Any) -> bytes:
    values: dict[str, Any] = {"op": 1, "xid": 1, "chaddr": bytes.fromhex("525400000001"), "options": {53: b"\x01"}}
    return encode(Message(**values | fields))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (bytes(240), "not_dhcp"),
        (raw(op=2), "not_a_request"),
        (raw(chaddr=b""), "no_hardware_address"),
        (raw(chaddr=bytes(6)), "no_hardware_address"),
        (raw(chaddr=b"\xff" * 6), "bad_hardware_address"),
        (raw(chaddr=b"\x02" * 8), "bad_hardware_address"),
        (raw(hops=17), "too_many_hops"),
        (raw(options={}), "bootp"),
        (raw(options={53: b""}), "bad_option"),
        (raw(options={53: b"\x02"}), "unsupported_type"),
        (raw(options={53: b"\xc8"}), "unsupported_type"),
        (raw(options={53: b"\x01", 50: b"\x01\x02"}), "bad_option"),
        (raw(options={53: b"\x03", 54: b"\x01"}), "bad_option"),
        (raw(options={53: b"\x01", 82: b"\x01\x09x"}), "truncated"),
        (raw()[:2] + b"\x11" + raw()[3:], "bad_hlen"),
        (raw(options={53: b"\x01"})[:241], "truncated"),
    ],
)
def test_a_wrong_datagram_is_dropped_and_counted_by_reason(data: bytes, reason: str) -> None:
    answer = lab().put(data)
    assert answer.silent == reason
    assert not answer.batch.changes
    assert not answer.batch.events
