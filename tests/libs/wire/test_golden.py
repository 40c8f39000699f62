"""Packets that real firmware and clients sent, as captured: each is read, written and read again without loss."""

from pathlib import Path

import pytest

from libs.wire.dhcp import Message, decode, encode
from libs.wire.dhcp_options import MessageType, Option
from libs.wire.pxe import client_of

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.hex"))

# What each sender is, by the beginning of its file's name: kind, architecture.
SENDERS = {
    "ipxe-rom-bios": ("ipxe", "bios"),
    "ipxe-efi": ("ipxe", "uefi-x64"),
    "ovmf-pxe": ("pxe", "uefi-x64"),
    "ovmf-http": ("http", "uefi-x64-http"),
    "udhcpc-installer": ("other", None),
    "udhcpc-system": ("other", None),
}


def octets(path: Path) -> bytes:
    lines = path.read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> tuple[str, bytes, Message]:
    path: Path = request.param
    return path.stem, octets(path), decode(octets(path))


def test_there_are_golden_packets() -> None:
    assert len(GOLDEN) >= 10


def test_a_golden_packet_survives_a_round_trip(golden: tuple[str, bytes, Message]) -> None:
    _, data, message = golden
    assert decode(encode(message)) == message
    assert encode(message, minimum=0).rstrip(b"\0") == data.rstrip(b"\0")


def test_a_golden_packet_is_what_its_name_says(golden: tuple[str, bytes, Message]) -> None:
    name, _, message = golden
    kinds = {"discover": MessageType.DISCOVER, "request": MessageType.REQUEST}
    assert message.type == kinds[name.rpartition("-")[2]]
    assert len(message.chaddr) == 6
    client = client_of(message)
    sender = next(expected for prefix, expected in SENDERS.items() if name.startswith(prefix))
    assert (client.kind, client.architecture.name if client.architecture else None) == sender


def test_a_golden_request_names_its_server(golden: tuple[str, bytes, Message]) -> None:
    _, _, message = golden
    if message.type == MessageType.REQUEST:
        assert len(message.options[Option.SERVER_IDENTIFIER]) == len(message.options[Option.REQUESTED_ADDRESS]) == 4
