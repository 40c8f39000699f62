"""Leases in the API and on the command line: what dhcp says, and an address taken back through the bus."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest

from libs.bus import Bus
from libs.desired import LEASES, SUBNETS, AddressRange
from libs.settings import HostPort, Settings
from libs.wire.dhcp_options import MessageType
from services.dhcp.service import dhcp
from tests.services.dhcp.relay import Relay
from tests.services.inventory.support import inventory_of
from tests.support.running import bus_of, nats_server, service, settings_in
from tests.support.waiting import until

CLIENTS = ["52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"]
POOL = AddressRange(first=IPv4Address("127.77.1.0"), last=IPv4Address("127.77.1.99"))


@dataclass
class House:
    """inventory and dhcp on one bus, and a relay with clients behind it."""

    settings: Settings
    api: httpx.AsyncClient
    bus: Bus
    dhcp: HostPort

    async def lease(self) -> None:
        """Three machines get their addresses, and the view tells it."""
        with Relay(self.dhcp) as relay:
            for mac in CLIENTS:
                assert (await relay.obtain(mac)).type == MessageType.ACK

        async def seen() -> bool:
            return len(await self.bus.get_all(LEASES)) == len(CLIENTS)

        await until(seen, "the leases are in the view")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus, inventory_of(settings) as api:
        body = {"cidr": "127.77.0.0/16", "pool": "127.77.1.0-127.77.1.99", "unknown": "lease"}
        (await api.put("/v1/subnets/loop", json=body)).raise_for_status()
        for number, mac in enumerate(CLIENTS[:2]):
            (await api.put(f"/v1/machines/node{number}", json={"macs": [mac]})).raise_for_status()

        async def published() -> bool:
            return bool(await bus.get_all(SUBNETS))

        await until(published, "dhcp can know the subnet")
        async with service("dhcp", dhcp, settings) as address:
            house = House(settings, api, bus, address)
            with Relay(address) as relay:
                await until(lambda: _answers(relay), "dhcp serves the subnet")
            yield house


def _answers(relay: Relay) -> bool:
    relay.send(MessageType.DISCOVER, CLIENTS[2])
    relay.collect()
    return bool(relay.replies)


async def test_leases_are_listed_filtered_and_paged(house: House) -> None:
    await house.lease()
    everything = (await house.api.get("/v1/leases")).json()["items"]
    assert {lease["mac"] for lease in everything} == set(CLIENTS)
    assert [IPv4Address(lease["address"]) for lease in everything] == sorted(
        IPv4Address(lease["address"]) for lease in everything
    )
    assert {lease["machine"] for lease in everything} == {"node0", "node1", None}
    one = (await house.api.get("/v1/leases", params={"machine": "node1"})).json()["items"]
    assert [lease["mac"] for lease in one] == [CLIENTS[1]]
    assert (await house.api.get("/v1/leases", params={"q": "00:03"})).json()["items"][0]["mac"] == CLIENTS[2]
    assert (await house.api.get("/v1/leases", params={"subnet": "rack9"})).json()["items"] == []
    part = (await house.api.get("/v1/leases", params={"limit": 2})).json()
    rest = (await house.api.get("/v1/leases", params={"limit": 2, "cursor": part["next"]})).json()
    assert [*part["items"], *rest["items"]] == everything
    assert rest["next"] is None
    single = await house.api.get(f"/v1/leases/{everything[0]['address']}")
    assert single.json() == everything[0]


async def test_an_address_is_taken_back(house: House) -> None:
    await house.lease()
    (lease,) = (await house.api.get("/v1/leases", params={"machine": "node0"})).json()["items"]
    answer = await house.api.post(f"/v1/leases/{lease['address']}:release")
    assert (answer.status_code, answer.json()["state"], answer.json()["mac"]) == (200, "released", CLIENTS[0])
    again = await house.api.post(f"/v1/leases/{lease['address']}:release")
    assert (again.status_code, again.headers["content-type"]) == (404, "application/problem+json")

    async def gone() -> bool:
        return (await house.api.get(f"/v1/leases/{lease['address']}")).status_code == 404

    await until(gone, "the lease is out of the view")


async def kickfleet(house: House, *arguments: str) -> tuple[int, str, str]:
    """The command line as a process of its own: exit code, output, complaints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", *arguments),
        env={**os.environ, "KICKFLEET_DATA": str(house.settings.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), complaints.decode()


async def test_the_command_line_shows_leases_and_takes_them_back(house: House) -> None:
    await house.lease()
    code, out, _ = await kickfleet(house, "leases", "--machine", "node0", "--json")
    (lease,) = json.loads(out)
    assert (code, lease["mac"]) == (0, CLIENTS[0])
    code, out, _ = await kickfleet(house, "leases")
    assert code == 0
    assert all(mac in out for mac in CLIENTS)
    code, out, _ = await kickfleet(house, "release", lease["address"])
    assert (code, out.split()[:3]) == (0, [lease["address"], "is", "released"])
    code, _, complaints = await kickfleet(house, "release", lease["address"])
    assert (code, "nobody holds" in complaints) == (2, True)


async def test_what_is_no_address_is_refused(house: House) -> None:
    for answer in (await house.api.get("/v1/leases/rack"), await house.api.post("/v1/leases/10.0.0.999:release")):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "address"


async def test_without_dhcp_a_release_is_refused_for_now(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with inventory_of(settings) as api:
        assert (await api.post("/v1/leases/10.77.0.11:release")).status_code == 503
        assert (await api.get("/v1/leases")).status_code == 503
