"""Orders over the API: who is installed with what, what is refused, and what kickstart has to say about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.bus import Bus
from libs.settings import Settings
from services.inventory.rendering import NOT_CHECKED, SUBJECT
from tests.services.inventory.support import fleet, inventory_of, machine
from tests.support.running import bus_of, nats_server, settings_in


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An inventory with a fleet, whose bus is away."""
    async with inventory_of(settings_in(tmp_path)) as client:
        wanted = fleet(4)
        wanted["machines"] += [machine(5, profile=None), machine(6, tags={"rack": "r7"})]
        (await client.post("/v1/apply", json=wanted)).raise_for_status()
        yield client


async def order(api: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    answer = await api.post("/v1/installs", json=body)
    assert answer.status_code == 201, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def refused(api: httpx.AsyncClient, status: int, **body: Any) -> str:
    answer = await api.post("/v1/installs", json=body)
    assert answer.status_code == status, answer.text
    detail: str = answer.json()["detail"]
    return detail


@pytest.mark.parametrize(
    ("selector", "picked"),
    [
        ("node02", ["node02"]),
        ("node03 node01", ["node01", "node03"]),
        ("node0[12]", ["node01", "node02"]),
        ("rack=r7", ["node06"]),
        ("profile=web,rack=r7", ["node06"]),
        ("profile=web", ["node01", "node02", "node03", "node04", "node06"]),
    ],
)
async def test_a_selector_picks_its_machines(api: httpx.AsyncClient, selector: str, picked: list[str]) -> None:
    items = await order(api, selector=selector)
    assert [item["machine"] for item in items] == picked
    assert {item["state"] for item in items} == {"ordered"}
    assert items[0]["limits"] == {"installing": 2400}
    assert items[0]["ordered_by"] == "admin"


async def test_an_order_is_all_or_nothing(api: httpx.AsyncClient) -> None:
    assert "the machine has no profile" in await refused(api, 422, selector="all")
    assert (await api.get("/v1/installs")).json()["items"] == []
    (install,) = await order(api, machines=["node02"])
    said = await refused(api, 409, machines=["node01", "node02"])
    assert said.startswith(
        f"machines.node02: an install of it is under way (ordered): {install['id']}; cancel or retry"
    )
    assert len((await api.get("/v1/installs")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"machines": ["node99"]}, "machines: there is no machine 'node99'; did you mean"),
        ({"selector": "rack=r9"}, "selector: no machine is selected"),
        ({"selector": "rack="}, "selector: 'rack=' has a condition without"),
        ({}, "name either `machines` or a `selector`"),
        ({"machines": ["node01"], "selector": "all"}, "name either `machines` or a `selector`"),
        ({"machines": []}, "machines: "),
        ({"machines": ["*"]}, "machines[0]: '*' is not a name"),
        ({"machines": ["node01"], "profile": "wab"}, "profile: there is no profile 'wab'; did you mean 'web'?"),
    ],
)
async def test_an_order_that_makes_no_sense(api: httpx.AsyncClient, body: dict[str, Any], said: str) -> None:
    assert said in await refused(api, 422, **body)


async def test_a_profile_may_be_named_in_the_order(api: httpx.AsyncClient) -> None:
    (install,) = await order(api, machines=["node05"], profile="web")
    assert (install["profile"], install["image"]) == ("web", "rocky-9")
    assert (await api.get("/v1/machines/node05")).json()["profile"] is None


async def test_a_profile_that_an_install_needs_is_not_removed(api: httpx.AsyncClient) -> None:
    (await api.put("/v1/profiles/db", json={"image": "rocky-9"})).raise_for_status()
    await order(api, machines=["node05"], profile="db")
    answer = await api.delete("/v1/profiles/db")
    assert answer.status_code == 409
    assert "the install of 'node05' uses 'db'" in answer.json()["detail"]


async def test_an_install_is_withdrawn_and_ordered_again(api: httpx.AsyncClient) -> None:
    (first,) = await order(api, machines=["node01"])
    path = f"/v1/installs/{first['id']}"
    for _ in range(2):
        cancelled = await api.post(f"{path}:cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    again = await api.post(f"{path}:retry")
    assert again.status_code == 201
    assert again.json()["state"] == "ordered"
    instead = await api.post(f"/v1/installs/{again.json()['id']}:retry")
    assert instead.status_code == 201
    assert (await api.get(f"/v1/installs/{again.json()['id']}")).json()["state"] == "cancelled"
    assert "a later install of 'node01' is under way" in (await api.post(f"{path}:retry")).json()["detail"]
    listed = (await api.get("/v1/installs", params={"machine": "node01"})).json()["items"]
    assert [item["id"] for item in listed] == [instead.json()["id"], again.json()["id"], first["id"]]
    active = (await api.get("/v1/installs", params={"state": "active"})).json()["items"]
    assert [item["id"] for item in active] == [instead.json()["id"]]
    for what in ("cancel", "retry"):
        assert (await api.post(f"/v1/installs/none:{what}")).status_code == 404
    assert (await api.get("/v1/installs/none/timeline")).status_code == 404


async def test_installs_are_listed_in_parts(api: httpx.AsyncClient) -> None:
    items = await order(api, selector="profile=web")
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get("/v1/installs", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(seen) == sorted(item["id"] for item in items)


async def test_the_diagnosis_of_a_machine(api: httpx.AsyncClient) -> None:
    never = (await api.get("/v1/machines/node01/diagnosis")).json()
    assert (never["code"], never["state"]) == ("never-ordered", None)
    await order(api, machines=["node01"])
    found = (await api.get("/v1/machines/node01/diagnosis")).json()
    assert (found["code"], found["state"], found["overdue"]) == ("no-dhcp", "ordered", False)
    assert found["expected"] == "its firmware asks for an address"
    assert (await api.get("/v1/machines/none/diagnosis")).status_code == 404


async def test_without_kickstart_an_order_is_taken_with_a_warning(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/installs", json={"machines": ["node01"]})
    assert answer.json()["warnings"] == [NOT_CHECKED]
    problem = await api.get("/v1/machines/node01/render")
    assert problem.status_code == 503
    assert "bus" in problem.json()["detail"]


class Kickstart:
    """Answers as kickstart does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.wrong: dict[str, dict[str, Any]] = {}

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(question)
        names = [document["name"] for document in question["machines"]]
        files = {"ks.cfg": "text\n"} if question["content"] else {}
        return {
            "results": [
                {"machine": name, "files": files, "errors": [self.wrong[name]] if name in self.wrong else []}
                for name in names
            ]
        }


@asynccontextmanager
async def kickstart_of(settings: Settings) -> AsyncIterator[Kickstart]:
    async with bus_of(settings, "kickstart") as bus:
        assert await bus.wait_connected(10)
        found = Kickstart()
        await _answering(bus, found)
        yield found


async def _answering(bus: Bus, found: Kickstart) -> None:
    await bus.respond(SUBJECT, found.answer)
    # Answered over the very bus: from now on whoever asks gets an answer.
    await bus.request(SUBJECT, {"machines": [], "content": False}, timeout=5)
    found.asked.clear()


UNDEFINED = {
    "file": "ks.cfg",
    "template": "rocky.ks.j2",
    "line": 12,
    "variable": "disk",
    "message": "the variable disk is not defined",
}


async def test_kickstart_checks_what_is_declared_and_ordered(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), inventory_of(settings) as api, kickstart_of(settings) as kickstart:
        kickstart.wrong["node01"] = UNDEFINED
        answer = await api.post("/v1/apply", json=fleet(3))
        assert answer.status_code == 422
        (error, *_) = answer.json()["errors"]
        assert error["field"] == "profiles[0].answers"
        assert "rocky.ks.j2, line 12: the variable disk is not defined" in error["message"]
        assert (await api.get("/v1/machines")).json()["items"] == []
        # One machine stands for all that have the same profile and variables.
        assert [[d["name"] for d in question["machines"]] for question in kickstart.asked] == [["node01"]]
        (asked,) = kickstart.asked[0]["machines"]
        assert (asked["netboot"], asked["install"]["id"]) == ("install", "preview")
        assert (await api.post("/v1/apply", params={"dry_run": True}, json=fleet(3))).status_code == 422

        kickstart.wrong.clear()
        applied = await api.post("/v1/apply", json=fleet(3))
        assert (applied.status_code, applied.json()["warnings"]) == (200, [])

        kickstart.asked.clear()
        assert (await api.post("/v1/apply", json=fleet(3))).json()["unchanged"] == applied.json()["created"]
        assert kickstart.asked == []

        kickstart.wrong["node01"] = UNDEFINED
        said = await refused(api, 422, machines=["node01"])
        assert said == "machines.node01: rocky.ks.j2, line 12: the variable disk is not defined"
        assert (await api.get("/v1/machines/node01")).json()["status"]["state"] is None
        kickstart.wrong.clear()
        answer = await api.post("/v1/installs", json={"machines": ["node01"]})
        assert answer.json()["warnings"] == []

        rendered = await api.get("/v1/machines/node02/render", params={"validate": True})
        assert rendered.json() == {"machine": "node02", "files": {"ks.cfg": "text\n"}, "errors": []}
        assert kickstart.asked[-1]["validate"] is True
        assert (await api.get("/v1/machines/none/render")).status_code == 404
