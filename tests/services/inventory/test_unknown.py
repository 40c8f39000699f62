"""Machines that nobody registered: listed, and adopted with one call."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import Publisher
from libs.events import MachineUnknown
from tests.services.inventory.support import START, fleet, inventory_of, mac_of, teller
from tests.support.running import nats_server, settings_in
from tests.support.waiting import until

Served = tuple[httpx.AsyncClient, Publisher]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    settings = settings_in(tmp_path)
    async with nats_server(settings), inventory_of(settings) as api, teller(settings, tmp_path) as tell:
        (await api.post("/v1/apply", json=fleet(1))).raise_for_status()
        yield api, tell


def asks(tell: Publisher, number: int, minute: int, **more: Any) -> None:
    """A machine asks for an address at a minute."""
    said = {"subnet": "rack1", "client": "pxe", "arch": "X86_64_UEFI", **more}
    tell.emit(MachineUnknown(mac=mac_of(number), time=START + timedelta(minutes=minute), **said))


async def listed(api: httpx.AsyncClient, count: int, **params: Any) -> list[dict[str, Any]]:
    """The unknown machines, once there are so many."""

    found: list[dict[str, Any]] = []

    async def look() -> bool:
        found[:] = (await api.get("/v1/unknown", params=params)).raise_for_status().json()["items"]
        return len(found) == count

    await until(look, f"{count} unknown machines")
    return found


async def test_each_is_listed_once_the_latest_first_with_what_it_said_last(served: Served) -> None:
    api, tell = served
    asks(tell, 7, 0, client="other", arch=None)
    asks(tell, 8, 5, relay="10.77.0.1")
    asks(tell, 7, 10)
    asks(tell, 1, 11)  # a machine of the fleet is no stranger, whatever dhcp thought then
    latest, other = await listed(api, 2)
    assert (latest["mac"], latest["client"], latest["arch"]) == (mac_of(7), "pxe", "X86_64_UEFI")
    assert (latest["first_seen"], latest["last_seen"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:10:00Z")
    assert (other["mac"], other["relay"]) == (mac_of(8), "10.77.0.1")
    assert await listed(api, 1, since="2026-03-01T12:06:00Z") == [latest]
    assert await listed(api, 0, subnet="rack2") == []


async def test_the_list_is_read_in_parts(served: Served) -> None:
    api, tell = served
    for number in range(10, 15):
        asks(tell, number, 0)
    whole = await listed(api, 5)
    seen, cursor = [], None
    while True:
        page = (await api.get("/v1/unknown", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += page["items"]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == whole
    assert (await api.get("/v1/unknown", params={"cursor": "bm8"})).status_code == 422


async def test_one_is_adopted_with_its_past(served: Served) -> None:
    api, tell = served
    asks(tell, 7, 0)
    await listed(api, 1)
    body = {"name": "node07", "profile": "web", "tags": {"rack": "r7"}}
    answer = await api.post(f"/v1/unknown/{mac_of(7).upper()}:adopt", json=body)
    assert (answer.status_code, answer.json()["macs"]) == (201, [mac_of(7)])
    assert answer.headers["etag"] == (await api.get("/v1/machines/node07")).headers["etag"]
    assert await listed(api, 0) == []

    async def joined() -> list[Any]:
        items: list[Any] = (await api.get("/v1/events", params={"machine": "node07"})).json()["items"]
        return [item for item in items if item["type"] == "machine.unknown"]

    await until(joined, "what was seen before is in the machine's history")


@pytest.mark.parametrize(
    ("mac", "body", "status", "says"),
    [
        (mac_of(9), {"name": "node09"}, 404, "`kickfleet unknown` lists them"),
        (mac_of(1), {"name": "node09"}, 404, "no unknown machine"),
        ("hello", {"name": "node09"}, 422, "not a hardware address"),
        (mac_of(7), {"name": "node01"}, 409, "already"),
        (mac_of(7), {"name": "node07", "profile": "wob"}, 422, "web"),
        (mac_of(7), {"profile": "web"}, 422, "name"),
        (mac_of(7), {"name": "node07", "colour": "red"}, 422, "colour"),
    ],
)
async def test_what_cannot_be_adopted_is_refused_with_the_reason(
    served: Served, mac: str, body: dict[str, Any], status: int, says: str
) -> None:
    api, tell = served
    asks(tell, 7, 0)
    await listed(api, 1)
    answer = await api.post(f"/v1/unknown/{mac}:adopt", json=body)
    assert answer.status_code == status
    assert says in answer.text
    assert (await api.get("/v1/machines/node07")).status_code == 404
    await listed(api, 1)
