"""The service over real sockets, through a relay on loopback, with a real bus."""

import random
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import Bus
from libs.desired import LEASES, MACHINES, SUBNETS, AddressRange, Document, InstallDocument, MachineDocument
from libs.events import LeaseAcknowledged, LeaseOffered, LeaseReleased, MachineUnknown
from libs.service import ServiceError
from libs.settings import HostPort, Settings
from libs.wire.dhcp import Message
from libs.wire.dhcp_options import MessageType, Option
from services.dhcp.service import dhcp
from tests.services.dhcp.lab import MAC, OTHER, PXE, STRANGER, machine, subnet
from tests.services.dhcp.relay import GIADDR, Relay
from tests.support.running import bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

ORDERED = InstallDocument.model_validate({"id": "i-1", "token": "t", "ordered_at": "2030-01-01T00:00:00Z"})
NODE01 = machine(netboot="install", install=ORDERED)


def loopback(**changes: Any) -> Any:
    """A subnet of loopback addresses behind the relay."""
    pool = AddressRange(first=IPv4Address("127.77.1.0"), last=IPv4Address("127.77.1.255"))
    values = {"interface": None, "cidr": IPv4Network("127.77.0.0/16"), "pools": [pool], "gateway": GIADDR}
    return subnet("loop", **values | changes)


async def declare(bus: Bus, *documents: Any) -> None:
    """Put documents where inventory would."""
    assert await bus.wait_connected(10)
    for document in documents:
        bucket = MACHINES if isinstance(document, MachineDocument) else SUBNETS
        await bus.put(bucket, document.name, as_json(document))


def as_json(document: Document) -> dict[str, Any]:
    plain: dict[str, Any] = document.model_dump(mode="json")
    return plain


@asynccontextmanager
async def served(settings: Settings, *documents: Any) -> AsyncIterator[tuple[Relay, Bus]]:
    """A bus with documents, the service, and a relay to it; the service knows the fleet already."""
    async with nats_server(settings), bus_of(settings) as bus:
        await declare(bus, *documents)
        async with service("dhcp", dhcp, settings) as address:
            await until(lambda: held(settings) >= len(documents), "the service knows the fleet")
            with Relay(address) as relay:
                yield relay, bus


def held(settings: Settings) -> int:
    """How many documents the service holds."""
    count = 0
    for name in ("machines", "subnets"):
        with sqlite3.connect(settings.data / "dhcp" / f"{name}.db") as replica:
            count += replica.execute("SELECT count(*) FROM documents").fetchone()[0]
    return count


def status_of(settings: Settings) -> str:
    return f"http://{(settings.data / 'run' / 'dhcp-status').read_text().strip()}"


def stored(settings: Settings) -> dict[str, str]:
    """The lease records on the disk: address -> state."""
    with sqlite3.connect(settings.data / "dhcp" / "leases.db") as database:
        return {str(IPv4Address(a)): state for a, state in database.execute("SELECT address, state FROM leases")}


async def metric(settings: Settings, line: str) -> float:
    """The value of a line of /metrics, 0 where it is not there."""
    async with httpx.AsyncClient() as http:
        page = (await http.get(f"{status_of(settings)}/metrics")).text
    return next((float(text.split()[-1]) for text in page.splitlines() if text.startswith(line)), 0.0)


async def test_a_machine_gets_its_address_and_its_boot_program(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01) as (relay, bus), recorder(settings) as tape:
        granted = await relay.obtain(MAC, VENDOR_CLASS=PXE)
        assert (granted.type, str(granted.yiaddr), granted.file) == (MessageType.ACK, "127.77.1.0", b"pxelinux.0")
        assert str(granted.siaddr) == "127.0.0.1"
        assert stored(settings) == {"127.77.1.0": "bound"}, "the lease is on the disk before the client has its answer"
        await until(lambda: tape.of(LeaseAcknowledged), "the lease is in the stream")
        (acknowledged,) = tape.of(LeaseAcknowledged, mac=MAC, machine="node01", install_id="i-1", ip="127.77.1.0")
        assert isinstance(acknowledged, LeaseAcknowledged)
        assert (acknowledged.client, acknowledged.arch, acknowledged.relay) == ("pxe", "bios", str(GIADDR))
        assert [event.TYPE for event in tape.events] == [LeaseOffered.TYPE, LeaseAcknowledged.TYPE]
        view = await until(lambda: bus.get_all(LEASES), "the lease is in the bucket")
        assert (view["127.77.1.0"]["mac"], view["127.77.1.0"]["machine"]) == (MAC, "node01")


async def test_a_released_address_leaves_the_view(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01) as (relay, bus), recorder(settings) as tape:
        granted = await relay.obtain(MAC)
        await until(lambda: bus.get_all(LEASES), "the lease is in the bucket")
        server = {Option.SERVER_IDENTIFIER: granted.options[54]}
        relay.send(MessageType.RELEASE, MAC, server, str(granted.yiaddr))
        await until(lambda: tape.of(LeaseReleased, ip=str(granted.yiaddr)), "the release is in the stream")
        await until(lambda: stored(settings) == {"127.77.1.0": "released"}, "the release is on the disk")

        async def is_empty() -> bool:
            return not await bus.get_all(LEASES)

        await until(is_empty, "the bucket is empty")


async def test_an_operator_takes_an_address_back(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01) as (relay, bus), recorder(settings) as tape:
        ask = partial(bus.request, "kickfleet.rpc.dhcp.release", timeout=10)
        assert await ask({"address": "127.77.1.0"}) == {"released": []}
        assert "IPv4 address" in (await ask({"address": "rack"}))["error"]
        assert "IPv4 address" in (await ask({}))["error"]
        await relay.obtain(MAC)
        shown = {"address": "127.77.1.0", "mac": MAC, "subnet": "loop", "state": "released"}
        assert await ask({"address": "127.77.1.0"}) == {"released": [shown]}
        assert stored(settings) == {"127.77.1.0": "released"}
        await until(lambda: tape.of(LeaseReleased, ip="127.77.1.0", by="operator"), "the release is an event")

        async def is_empty() -> bool:
            return not await bus.get_all(LEASES)

        await until(is_empty, "the bucket is empty")


async def test_unknown_machines_get_silence_and_wrong_octets_hurt_nobody(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    chance = random.Random(7)
    async with served(settings, loopback(), NODE01) as (relay, _), recorder(settings) as tape:
        for _ in range(300):
            relay.send_octets(chance.randbytes(chance.randrange(700)))
        relay.send_octets(b"")
        unanswered = relay.send(MessageType.DISCOVER, STRANGER)
        assert (await relay.ask(MessageType.DISCOVER, MAC)).type == MessageType.OFFER
        relay.collect()
        assert unanswered not in relay.replies
        await until(lambda: tape.of(MachineUnknown, mac=STRANGER), "the unknown machine is reported")
        assert await metric(settings, 'kickfleet_dhcp_unanswered_total{reason="unknown_machine"}') == 1
        assert await metric(settings, 'kickfleet_dhcp_unanswered_total{reason="truncated"}') > 50
        assert await metric(settings, 'kickfleet_dhcp_sent_total{type="offer",way="relay"}') == 1


async def test_a_change_of_the_fleet_takes_effect_without_a_restart(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01) as (relay, bus):
        await declare(bus, machine("node02", OTHER, address=IPv4Address("127.77.0.44")))

        async def offered() -> Message | None:
            xid = relay.send(MessageType.DISCOVER, OTHER)
            await relay.ask(MessageType.DISCOVER, MAC)  # answered after the other, if that is answered
            relay.collect()
            return relay.replies.pop(xid, None)

        assert str((await until(offered, "the new machine is served")).yiaddr) == "127.77.0.44"
        await bus.delete(MACHINES, "node02")

        async def ignored() -> bool:
            return await offered() is None

        await until(ignored, "the removed machine is ignored")


async def test_it_serves_without_the_bus_and_tells_later(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01):
        pass
    async with service("dhcp", dhcp, settings) as address:
        with Relay(address) as relay:
            granted = await relay.obtain(MAC)
        assert granted.type == MessageType.ACK
        async with nats_server(settings), recorder(settings) as tape, bus_of(settings) as bus:
            await until(lambda: tape.of(LeaseAcknowledged, ip=str(granted.yiaddr)), "the event is in the stream")
            await until(lambda: bus.get_all(LEASES), "the lease is in the bucket")


async def test_a_restart_keeps_leases_and_tells_the_bus_of_them(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(unknown="lease"), NODE01) as (relay, bus):
        await relay.obtain(OTHER)
        before = (await relay.obtain(MAC)).yiaddr
        await bus.wait_connected()
    async with nats_server(settings), bus_of(settings) as bus:
        assert await bus.wait_connected(10)
        await bus.put(LEASES, "127.77.1.200", {"stale": True})
        async with service("dhcp", dhcp, settings) as address:
            with Relay(address) as relay:
                again = await relay.ask(MessageType.REQUEST, MAC, REQUESTED_ADDRESS=before.packed)
                assert (again.type, again.yiaddr) == (MessageType.ACK, before)

            async def same() -> bool:
                return set(await bus.get_all(LEASES)) == {"127.77.1.0", "127.77.1.1"}

            await until(same, "the bucket says what the table says")


async def test_a_document_that_is_none_is_left_aside(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01) as (relay, bus):
        await bus.put(MACHINES, "broken", {"name": "broken", "macs": 7})
        await bus.put(SUBNETS, "broken", {"name": "broken"})
        await declare(bus, machine("node02", OTHER))

        async def offered() -> Message | None:
            xid = relay.send(MessageType.DISCOVER, OTHER)
            await relay.ask(MessageType.DISCOVER, MAC)
            relay.collect()
            return relay.replies.pop(xid, None)

        assert await until(offered, "a later document is taken")


async def test_health_readiness_and_metrics_are_served(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(), NODE01) as (relay, _), httpx.AsyncClient() as http:
        await relay.obtain(MAC)
        assert (await http.get(f"{status_of(settings)}/healthz")).status_code == 200

        async def is_ready() -> bool:
            return (await http.get(f"{status_of(settings)}/readyz")).status_code == 200

        await until(is_ready, "the service is ready")
        parts = (await http.get(f"{status_of(settings)}/readyz")).json()["parts"]
        assert set(parts) == {"socket", "packet socket", "leases", "fleet"}
        assert await metric(settings, 'kickfleet_dhcp_leases{state="bound",subnet="loop"}') == 1
        assert await metric(settings, 'kickfleet_dhcp_pool_addresses{subnet="loop"}') == 256


# --- wrong set-ups: one clear sentence ----------------------------------------------------------------------------


async def start(settings: Settings) -> HostPort:
    async with service("dhcp", dhcp, settings) as address:
        return address


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        port = other.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"dhcp cannot listen on udp 127.0.0.1:{port}: the port is in use"):
            await start(settings_in(tmp_path, dhcp__port=port))


async def test_a_port_shared_by_another_program_is_in_use_too(tmp_path: Path) -> None:
    """SO_REUSEADDR would let both have it, and each would get half of the requests."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("0.0.0.0", 0))
        with pytest.raises(ServiceError, match="the port is in use"):
            await start(settings_in(tmp_path, dhcp__port=other.getsockname()[1]))


async def test_an_address_that_is_not_ours_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="this host has no such address"):
        await start(settings_in(tmp_path, dhcp__listen="192.0.2.1"))


async def test_a_damaged_lease_database_is_said(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (settings.data / "dhcp").mkdir(parents=True)
    (settings.data / "dhcp" / "leases.db").write_bytes(b"x" * 9000)
    with pytest.raises(ServiceError, match=r"leases\.db cannot be used"):
        await start(settings)


async def test_a_missing_interface_is_said(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with served(settings, loopback(interface="nic9"), NODE01):
        pass
    with pytest.raises(ServiceError, match="dhcp can serve no subnet: no interface nic9 on this host"):
        await start(settings)


async def test_a_missing_interface_does_not_stop_the_other_subnets(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    other = subnet("nic9", interface="nic9")
    async with nats_server(settings), bus_of(settings) as bus:
        await declare(bus, loopback(), other, NODE01)
        async with service("dhcp", dhcp, settings) as address, httpx.AsyncClient() as http:

            async def told() -> bool:
                page = (await http.get(f"{status_of(settings)}/readyz")).json()
                return "no interface nic9" in page["parts"].get("interfaces", {}).get("detail", "")

            await until(told, "the missing interface is told")
            with Relay(address) as relay:
                assert (await relay.obtain(MAC)).type == MessageType.ACK
    async with service("dhcp", dhcp, settings) as address:
        with Relay(address) as relay:
            assert (await relay.obtain(MAC)).type == MessageType.ACK
