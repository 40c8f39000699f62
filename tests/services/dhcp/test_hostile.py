"""Whatever a datagram says: no error of ours, no answer where none is due, and nothing that grows without end."""

from ipaddress import IPv4Address
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.wire.dhcp import Message, encode
from libs.wire.dhcp_options import MessageType, Option, RelayOption, write_sub_options
from tests.services.dhcp.lab import MAC, OTHER, PXE, SERVER, STRANGER, Lab, far_subnet, lab, machine, subnet

ADDRESSES = [IPv4Address(text) for text in ("0.0.0.0", "10.77.0.100", "10.77.0.2", "10.88.0.1", "255.255.255.255")]
READ = [12, 43, 50, 51, 52, 53, 54, 55, 56, 57, 60, 61, 67, 77, 82, 93, 97, 118, 175]

addresses = st.sampled_from(ADDRESSES) | st.integers(0, 2**32 - 1).map(IPv4Address)
values = (
    st.binary(max_size=300)
    | addresses.map(lambda address: address.packed)
    | st.sampled_from([PXE, b"iPXE", b"HTTPClient", b"\x00\x07"])
    | st.dictionaries(
        st.sampled_from([int(code) for code in RelayOption]), addresses.map(lambda a: a.packed), max_size=3
    ).map(write_sub_options)
)
requests = st.builds(
    Message,
    secs=st.integers(0, 0xFFFF),
    op=st.sampled_from([1, 1, 1, 2]),
    xid=st.just(7),
    chaddr=st.sampled_from([bytes.fromhex(mac.replace(":", "")) for mac in (MAC, OTHER, STRANGER)])
    | st.binary(max_size=16),
    htype=st.sampled_from([1, 1, 6, 32]),
    hops=st.sampled_from([0, 1, 99]),
    flags=st.sampled_from([0, 0x8000]),
    ciaddr=addresses,
    yiaddr=addresses,
    siaddr=addresses,
    giaddr=addresses,
    options=st.builds(
        lambda kind, rest: {**rest, Option.MESSAGE_TYPE: bytes((kind,))},
        st.sampled_from(list(MessageType)),
        st.dictionaries(st.sampled_from(READ), values, max_size=6),
    ),
)


def open_house() -> Lab:
    """A lab that serves anybody, so that every handler is reached."""
    everyone: dict[str, Any] = {"unknown": "lease", "domain": "d" * 200}
    return lab(subnet(**everyone), far_subnet(**everyone), machine(netboot="install"), machine("node02", OTHER))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(requests, addresses, st.integers(0, 5000)), max_size=12))
def test_no_sequence_of_requests_is_an_error_of_ours(sequence: list[tuple[Message, IPv4Address, int]]) -> None:
    place = open_house()
    for request, destination, seconds in sequence:
        place.now += seconds
        answer = place.put(encode(request), destination=destination)  # asserts that there was no fault
        if answer.message:
            assert request.op == 1
            assert (answer.message.op, answer.message.xid, answer.message.chaddr) == (2, 7, request.chaddr)
            assert answer.message.options[54] in (SERVER.packed, *sub_options(request))
            assert len(answer.sent.data) <= 1472
    assert len(place.leases) <= 110
    assert place.leases.offers <= len(sequence)


def sub_options(request: Message) -> list[bytes]:
    """Addresses that a relay may have asked us to go by (82.11)."""
    agent = request.options.get(Option.RELAY_AGENT_INFORMATION, b"")
    return [agent[at : at + 4] for at in range(len(agent))]


@settings(max_examples=300, deadline=None)
@given(requests, st.integers(0, 700), st.binary(max_size=8))
def test_no_damage_to_a_request_is_an_error_of_ours(request: Message, at: int, damage: bytes) -> None:
    data = encode(request)
    open_house().put(data[:at] + damage + data[at + len(damage) :])


def test_a_flood_of_invented_machines_leaves_memory_bounded() -> None:
    """Every address that strangers may have is offered, and then there is silence."""
    place = open_house()
    for number in range(3000):
        chaddr = bytes((2, 9)) + number.to_bytes(4)
        place.put(encode(Message(op=1, xid=number, chaddr=chaddr, options={53: b"\x01"})))
    assert place.leases.offers == 9
    assert len(place.leases) == 0
