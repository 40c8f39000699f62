"""The benchmark itself, small: its clients get addresses of the real service, and wrong answers are noticed."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from libs.wire.dhcp import BOOTREPLY, Message, decode, encode
from libs.wire.dhcp_options import MessageType, Option, write_u32
from tests.bench.dhcp import load as generators
from tests.bench.dhcp.cable import CLIENTS as CLIENT_END
from tests.bench.dhcp.cable import SERVER, Cable
from tests.bench.dhcp.fleet import Kickfleet
from tests.bench.dhcp.load import Load
from tests.bench.dhcp.measure import measured, stopped_after
from tests.support import needs

CLIENTS = 200


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    needs.root()
    needs.program("ip", "iproute2")
    needs.program("gcc", "gcc")
    cable = Cable()
    with cable.laid():
        yield Load(generators.build(tmp_path), cable)


async def test_a_fleet_is_served_new_and_returning_and_none_asks_twice(load: Load, tmp_path: Path) -> None:
    async with Kickfleet.on_its_bus(tmp_path, CLIENTS, sys.executable) as kickfleet:
        with stopped_after(kickfleet.start(tmp_path / "kickfleet")) as running:
            for _ in ("new", "returning"):
                cost = measured(running, lambda: load.run(0, CLIENTS, window=32))
                assert (cost.outcome.completed, cost.outcome.resends, cost.outcome.lost) == (CLIENTS, 0, 0)
                assert cost.own > 0


@pytest.mark.parametrize(
    ("fault", "is_noticed"),
    [
        ({}, False),
        ({"chaddr": b"\x02\x00\x00\x00\x00\x99"}, True),
        ({"yiaddr": IPv4Address("10.99.0.1")}, True),
        ({"options": {Option.MESSAGE_TYPE: bytes((MessageType.OFFER,))}}, True),
    ],
    ids=["none", "another's hardware address", "another network", "no server, no mask"],
)
def test_a_wrong_answer_is_noticed(load: Load, fault: dict[str, Any], is_noticed: bool) -> None:
    with answering(lambda number: {"yiaddr": IPv4Address("10.77.1.0") + number, **fault}):
        outcome = load.run(0, 2, window=1, seconds=1)
    assert (outcome.wrong > 0) == is_noticed
    assert (outcome.completed == 2) != is_noticed


def test_an_address_that_two_clients_get_is_noticed(load: Load) -> None:
    with answering(lambda _: {"yiaddr": IPv4Address("10.77.1.1")}):
        outcome = load.run(0, 2, window=1, seconds=1)
    assert (outcome.completed, outcome.wrong) == (2, 1)


@contextmanager
def answering(fields: Callable[[int], dict[str, Any]]) -> Iterator[None]:
    """A server that answers everything, with these fields for client `number`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((SERVER, 67))
    thread = threading.Thread(target=_answer, args=(sock, fields))
    thread.start()
    try:
        yield
    finally:
        with suppress(OSError):  # it is not connected, says the system, and wakes the thread all the same
            sock.shutdown(socket.SHUT_RDWR)
        thread.join()
        sock.close()


def _answer(sock: socket.socket, fields: Callable[[int], dict[str, Any]]) -> None:
    while data := _next(sock):
        request = decode(data)
        kind = MessageType.OFFER if request.type == MessageType.DISCOVER else MessageType.ACK
        options = {
            Option.MESSAGE_TYPE: bytes((kind,)),
            Option.SERVER_IDENTIFIER: IPv4Address(SERVER).packed,
            Option.LEASE_TIME: write_u32(60),
            Option.SUBNET_MASK: bytes((255, 255, 0, 0)),
        }
        values = {"chaddr": request.chaddr, "options": options, **fields(request.chaddr[-1])}
        sock.sendto(encode(Message(op=BOOTREPLY, xid=request.xid, giaddr=request.giaddr, **values)), (CLIENT_END, 67))


def _next(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1500)
    except OSError:
        return b""
