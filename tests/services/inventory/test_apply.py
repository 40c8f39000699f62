"""`apply` over HTTP: whole or not at all, idempotent, YAML as well as JSON."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.services.inventory.support import fleet, inventory_of, machine
from tests.support.running import settings_in


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An inventory whose bus is away."""
    async with inventory_of(settings_in(tmp_path)) as client:
        yield client


async def apply(api: httpx.AsyncClient, wanted: dict[str, Any], **params: Any) -> dict[str, Any]:
    answer = await api.post("/v1/apply", json=wanted, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def names(api: httpx.AsyncClient, kind: str) -> list[str]:
    return [item["name"] for item in (await api.get(f"/v1/{kind}")).json()["items"]]


async def test_created_changed_unchanged_removed(api: httpx.AsyncClient) -> None:
    first = await apply(api, fleet(2))
    created = ["subnets/rack1", "images/rocky-9", "profiles/web", "machines/node01", "machines/node02"]
    assert (first["created"], first["changed"], first["unchanged"], first["removed"]) == (created, [], [], [])
    assert (await apply(api, fleet(2)))["unchanged"] == created
    wanted = fleet(2)
    wanted["machines"] = [machine(1, tags={"new": "yes"})]
    third = await apply(api, wanted, prune=True)
    assert (third["changed"], third["removed"]) == (["machines/node01"], ["machines/node02"])
    assert await names(api, "machines") == ["node01"]


async def test_prune_spares_the_kinds_that_are_not_mentioned(api: httpx.AsyncClient) -> None:
    await apply(api, fleet(2))
    done = await apply(api, {"machines": [machine(1)]}, prune=True)
    assert done["removed"] == ["machines/node02"]
    assert await names(api, "profiles") == ["web"]


async def test_a_dry_run_changes_nothing(api: httpx.AsyncClient) -> None:
    would = await apply(api, fleet(2), dry_run=True)
    assert would["dry_run"] is True
    assert len(would["created"]) == 5
    assert await names(api, "machines") == []
    assert await names(api, "subnets") == []


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"machines": [machine(1), machine(2, macs=["x"])]}, "machines[1].macs[0]", "is not a hardware address"),
        (
            {"machines": [machine(1), machine(2), machine(3, address="10.99.0.1")]},
            "machines[2].address",
            "in no subnet",
        ),
        ({"machins": []}, "machins", "did you mean 'machines'?"),
        ({"profiles": [{"name": "web", "image": "none"}]}, "profiles[0].image", "there is no image 'none'"),
        (
            {"images": [{"name": "rocky-9", "family": "redhat", "kernel": "missing"}]},
            "images[0].kernel",
            "there is no file",
        ),
    ],
)
async def test_one_fault_and_nothing_is_done(
    api: httpx.AsyncClient, change: dict[str, Any], field: str, said: str
) -> None:
    answer = await api.post("/v1/apply", json={**fleet(2), **change})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert said in f"{error['message']}; {error['remedy']}"
    for kind in ("subnets", "images", "profiles", "machines"):
        assert await names(api, kind) == []


async def test_yaml_is_read_as_a_fleet_file(api: httpx.AsyncClient) -> None:
    text = yaml.safe_dump(fleet(1)).replace("'52:54:00:00:00:01'", "52:54:00:00:00:01")
    headers = {"content-type": "application/yaml"}
    done = await api.post("/v1/apply", content=text, headers=headers)
    assert done.status_code == 200, done.text
    assert (await api.get("/v1/machines/node01")).json()["macs"] == ["52:54:00:00:00:01"]
    twice = await api.post("/v1/apply", content="machines: []\nmachines: []\n", headers=headers)
    assert twice.status_code == 422
    assert "line 2" in twice.json()["detail"]


async def test_a_webhooks_credentials_are_kept_and_never_shown(api: httpx.AsyncClient) -> None:
    hook = {"name": "ops", "url": "https://chat.example/hook/s3cret", "format": "slack", "secret": "hush"}
    await apply(api, {"webhooks": [hook]})
    shown = (await api.get("/v1/webhooks/ops")).json()
    assert (shown["url"], shown["secret"]) == ("https://chat.example/…", "…")
    assert "s3cret" not in (await api.get("/v1/webhooks")).text
    assert (await apply(api, {"webhooks": [shown]}))["unchanged"] == ["webhooks/ops"]
    assert (await apply(api, {"webhooks": [hook]}))["unchanged"] == ["webhooks/ops"]


async def test_the_site_is_part_of_a_fleet(api: httpx.AsyncClient) -> None:
    wanted = {**fleet(1), "site": {"variables": {"ntp": "10.77.0.5"}}}
    assert "site" in (await apply(api, wanted))["changed"]
    assert "site" in (await apply(api, wanted))["unchanged"]
    assert (await api.get("/v1/site")).json()["variables"] == {"ntp": "10.77.0.5"}


async def test_a_subnet_that_machines_stand_on_does_not_move_away(api: httpx.AsyncClient) -> None:
    wanted = fleet(1)
    wanted["machines"][0]["address"] = "10.77.0.11"
    await apply(api, wanted)
    moved = {"subnets": [{"name": "rack1", "cidr": "10.78.0.0/16"}]}
    answer = await api.post("/v1/apply", json=moved)
    assert answer.status_code == 422
    assert "the address of machine 'node01' would be wrong" in answer.json()["detail"]
