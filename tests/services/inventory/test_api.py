"""The API over real HTTP: resources, conditions, problems, paging, tokens, repeated requests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.inventory.support import fleet, inventory_of, mac_of, machine
from tests.support.running import settings_in


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An inventory whose bus is away: what is declared waits for it."""
    async with inventory_of(settings_in(tmp_path)) as client:
        yield client


@pytest.fixture
async def full(api: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same, with a fleet of five machines."""
    (await api.post("/v1/apply", json=fleet(5))).raise_for_status()
    return api


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


async def test_a_resource_is_put_read_changed_and_deleted(api: httpx.AsyncClient) -> None:
    path = "/v1/subnets/rack1"
    created = await api.put(path, json={"cidr": "10.77.0.0/24", "lease_time": "3600s"})
    assert created.status_code == 201
    assert created.json()["lease_time"] == "1h"
    again = await api.put(path, json={"name": "rack1", "cidr": "10.77.0.0/24", "lease_time": "1h"})
    assert (again.status_code, again.headers["etag"]) == (200, created.headers["etag"])
    read = await api.get(path)
    assert read.json() == created.json()
    assert (await api.get(path, headers={"if-none-match": read.headers["etag"]})).status_code == 304
    assert (await api.delete(path)).status_code == 204
    assert problem(await api.get(path), 404)["detail"] == "there is no subnet 'rack1'"
    assert problem(await api.delete(path), 404)


async def test_a_lost_update_is_refused(api: httpx.AsyncClient) -> None:
    path = "/v1/machines/node01"
    first = await api.put(path, json={"macs": [mac_of(1)]}, headers={"if-none-match": "*"})
    assert first.status_code == 201
    problem(await api.put(path, json={"macs": [mac_of(2)]}, headers={"if-none-match": "*"}), 412)
    tag = first.headers["etag"]
    second = await api.put(path, json={"macs": [mac_of(2)]}, headers={"if-match": tag})
    assert second.status_code == 200
    late = await api.put(path, json={"macs": [mac_of(3)]}, headers={"if-match": tag})
    assert problem(late, 412)["detail"] == "'node01' is not as If-Match says; read it again"
    problem(await api.delete(path, headers={"if-match": tag}), 412)
    problem(await api.patch(path, json={"tags": {"a": "b"}}, headers={"if-match": tag}), 412)
    assert (await api.get(path)).json()["macs"] == [mac_of(2)]
    problem(await api.put("/v1/machines/other", json={"macs": [mac_of(9)]}, headers={"if-match": "*"}), 412)


async def test_a_machine_is_patched(full: httpx.AsyncClient) -> None:
    path = "/v1/machines/node01"
    patch = {"tags": {"rack": "r7"}, "variables": {"disk": "sda", "deep": {"a": 1}}, "address": "10.77.0.50"}
    assert (await full.patch(path, json=patch)).status_code == 200
    found = await full.patch(path, json={"variables": {"disk": None, "deep": {"b": 2}}, "address": None})
    assert found.json()["variables"] == {"deep": {"a": 1, "b": 2}}
    assert found.json()["address"] is None
    assert found.json()["tags"] == {"rack": "r7"}
    assert problem(await full.patch(path, json={"name": "new"}), 422)["errors"][0]["field"] == "name"
    assert problem(await full.patch(path, json=[1]), 422)
    assert problem(await full.patch(path, content=b"{"), 422)
    assert problem(await full.patch(path, json={"macs": None}), 422)["errors"][0]["field"] == "macs"
    assert problem(await full.patch("/v1/machines/none", json={}), 404)


async def test_what_is_read_may_be_written_back(full: httpx.AsyncClient) -> None:
    for path in ("/v1/machines/node01", "/v1/profiles/web", "/v1/images/rocky-9", "/v1/subnets/rack1"):
        read = await full.get(path)
        written = await full.put(path, json=read.json(), headers={"if-match": read.headers["etag"]})
        assert (written.status_code, written.headers["etag"]) == (200, read.headers["etag"])


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"macs": ["x"]}, "macs[0]", "'x' is not a hardware address; write it like 52:54:00:12:34:56"),
        ({"macs": [mac_of(2)]}, "macs[0]", "is already 'node02''s; a hardware address belongs to one machine"),
        ({"macs": [mac_of(9)], "profil": "web"}, "profil", "there is no key 'profil' here; did you mean 'profile'?"),
        ({"macs": [mac_of(9)], "profile": "wob"}, "profile", "there is no profile 'wob'; did you mean 'web'?"),
        ({}, "macs", "this is required; add it"),
        ({"macs": [mac_of(9)], "name": "other"}, "name", "the address says 'new'; leave the name out"),
    ],
)
async def test_a_refusal_names_the_field(full: httpx.AsyncClient, body: dict[str, Any], field: str, said: str) -> None:
    found = problem(await full.put("/v1/machines/new", json=body), 422)
    (error,) = found["errors"]
    assert error["field"] == field
    assert said in "; ".join(part for part in (error["message"], error["remedy"]) if part)
    assert found["detail"].startswith(f"{field}: ")


async def test_what_is_no_json_and_what_is_too_large(api: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    problem(await api.put("/v1/machines/new", content=b"{", headers=headers), 400)
    problem(await api.put("/v1/machines/new", content=b"[" * 100_000, headers=headers), 400)
    problem(await api.put("/v1/machines/new", content=b"[]", headers=headers), 422)
    problem(await api.post("/v1/apply", content=b"{", headers=headers), 400)
    problem(await api.post("/v1/apply", content=b"x" * (17 << 20)), 413)
    problem(await api.get("/v1/nothing"), 404)
    problem(await api.post("/v1/machines/new"), 405)
    problem(await api.put("/v1/machines/UPPER", json={"macs": [mac_of(9)]}), 422)


async def test_characters_that_no_database_takes_are_refused(tmp_path: Path, database_url: str) -> None:
    async with inventory_of(settings_in(tmp_path, database__url=database_url)) as api:
        (await api.post("/v1/apply", json=fleet(1))).raise_for_status()
        for path in ("/v1/machines?q=%00", "/v1/machines?tag=a%3D%00", "/v1/machines/%00", "/v1/events?machine=%00"):
            assert (await api.get(path)).status_code in (200, 404, 422), path
        headers = {"content-type": "application/json"}
        for text in ("\\u0000", "\\ud800"):
            for field in (
                f'"tags": {{"a": "{text}"}}',
                f'"external_id": "{text}"',
                f'"{text}": 1',
                f'"name": "{text}"',
            ):
                body = f'{{"macs": ["{mac_of(5)}"], {field}}}'
                problem(await api.put("/v1/machines/new", content=body, headers=headers), 422)
            for body in (f'{{"selector": "{text}"}}', f'{{"machines": ["{text}"]}}', f'{{"{text}": 1}}'):
                problem(await api.post("/v1/installs", content=body, headers=headers), 422)
        body = f'{{"macs": ["{mac_of(5)}"], "variables": {{"a": "\\ud800"}}}}'
        problem(await api.put("/v1/machines/new", content=body, headers=headers), 422)


async def test_what_is_used_is_not_removed(full: httpx.AsyncClient) -> None:
    assert "machine 'node01' uses the profile 'web'" in problem(await full.delete("/v1/profiles/web"), 409)["detail"]
    assert "profile 'web' uses the image 'rocky-9'" in problem(await full.delete("/v1/images/rocky-9"), 409)["detail"]
    (await full.patch("/v1/machines/node01", json={"address": "10.77.0.50"})).raise_for_status()
    assert "no subnet" in problem(await full.delete("/v1/subnets/rack1"), 409)["detail"]


async def test_a_machine_that_is_being_installed_is_not_removed(full: httpx.AsyncClient) -> None:
    (await full.post("/v1/installs", json={"machines": ["node01"]})).raise_for_status()
    assert "under way" in problem(await full.delete("/v1/machines/node01"), 409)["detail"]
    assert (await full.delete("/v1/machines/node02")).status_code == 204


async def test_an_image_without_its_files_is_refused(api: httpx.AsyncClient) -> None:
    image = {"family": "debian", "kernel": "linux", "initrd": ["initrd.gz"]}
    found = problem(await api.put("/v1/images/debian-12", json=image), 422)
    assert [error["field"] for error in found["errors"]] == ["kernel", "initrd[0]"]
    assert "images/debian-12/linux" in found["errors"][0]["message"]
    assert "copy the installation tree" in found["errors"][0]["remedy"]


async def test_a_batch_is_done_whole_or_not_at_all(full: httpx.AsyncClient) -> None:
    many = [machine(number) for number in range(1, 301)]
    wrong = [*many, machine(500, macs=["x"]), machine(501, macs=[mac_of(1)])]
    found = problem(await full.post("/v1/machines:batch", json={"machines": wrong}), 422)
    assert found["errors"][0]["field"] == "machines[300].macs[0]"
    twice = [*many, machine(501, macs=[mac_of(1)])]
    found = problem(await full.post("/v1/machines:batch", json={"machines": twice}), 422)
    assert found["errors"][0]["field"] == "machines[300].macs[0]"
    many[0]["tags"] = {"new": "yes"}
    done = await full.post("/v1/machines:batch", json={"machines": many})
    assert done.status_code == 200
    assert [len(done.json()[what]) for what in ("created", "changed", "unchanged")] == [295, 1, 4]
    assert done.json()["changed"] == ["node01"]


async def test_addresses_may_be_exchanged_in_one_batch(full: httpx.AsyncClient) -> None:
    first = [machine(1, address="10.77.0.51"), machine(2, address="10.77.0.52")]
    second = [machine(1, address="10.77.0.52"), machine(2, address="10.77.0.51", macs=[mac_of(8)])]
    for machines in (first, second):
        assert (await full.post("/v1/machines:batch", json={"machines": machines})).status_code == 200
    assert (await full.get("/v1/machines/node02")).json()["address"] == "10.77.0.51"


async def test_lists_are_read_in_parts_and_filtered(full: httpx.AsyncClient) -> None:
    for number in (2, 4):
        patch = {"tags": {"rack": "r7", "row": str(number)}, "external_id": f"CMDB-{number}"}
        (await full.patch(f"/v1/machines/node0{number}", json=patch)).raise_for_status()
    (await full.post("/v1/installs", json={"machines": ["node03"]})).raise_for_status()

    async def names(**params: Any) -> list[str]:
        answer = (await full.get("/v1/machines", params=params)).raise_for_status()
        return [item["name"] for item in answer.json()["items"]]

    assert await names(tag="rack=r7") == ["node02", "node04"]
    assert await names(tag=["rack=r7", "row=4"]) == ["node04"]
    assert await names(state="ordered") == ["node03"]
    assert await names(state="none", limit=2) == ["node01", "node02"]
    assert await names(profile="web", q="00:05") == ["node05"]
    assert await names(q="cmdb-4") == ["node04"]
    assert await names(external_id="CMDB-2") == ["node02"]
    assert await names(q="100%") == []
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await full.get("/v1/machines", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [item["name"] for item in page["items"]]
        cursor = page["next"]
    assert seen == [f"node0{number}" for number in range(1, 6)]
    assert problem(await full.get("/v1/machines", params={"cursor": "rubbish"}), 422)["errors"][0]["field"] == "cursor"
    assert problem(await full.get("/v1/machines", params={"limit": 0}), 422)["errors"][0]["field"] == "query.limit"
    assert problem(await full.get("/v1/machines", params={"tag": "rack"}), 422)["errors"][0]["field"] == "tag"
    first = (await full.get("/v1/images", params={"q": "rock"})).json()
    assert [item["name"] for item in first["items"]] == ["rocky-9"]


async def test_scopes_are_kept_apart_and_a_revoked_token_is_out(full: httpx.AsyncClient) -> None:
    base = {"authorization": ""}
    assert "www-authenticate" in (await full.get("/v1/machines", headers=base)).headers
    problem(await full.get("/v1/machines", headers=base), 401)
    problem(await full.get("/v1/machines", headers={"authorization": "Bearer wrong"}), 401)
    tokens = {}
    for scope in ("read", "write"):
        made = await full.post("/v1/tokens", json={"name": scope, "scope": scope})
        assert made.status_code == 201
        tokens[scope] = made.json()
    as_ = {scope: {"authorization": f"Bearer {made['token']}"} for scope, made in tokens.items()}
    assert (await full.get("/v1/machines", headers=as_["read"])).status_code == 200
    refused = problem(await full.delete("/v1/machines/node05", headers=as_["read"]), 403)
    assert refused["detail"] == "this needs a token with scope write; yours has read"
    assert (await full.delete("/v1/machines/node05", headers=as_["write"])).status_code == 204
    problem(await full.get("/v1/tokens", headers=as_["write"]), 403)
    listed = (await full.get("/v1/tokens")).text
    assert tokens["read"]["token"] not in listed
    assert (await full.delete(f"/v1/tokens/{tokens['read']['id']}")).status_code == 204
    problem(await full.get("/v1/machines", headers=as_["read"]), 401)
    problem(await full.delete("/v1/tokens/none"), 404)


async def test_the_same_key_and_request_happen_once(full: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "order-1"}
    body = {"machines": ["node01"]}
    first = await full.post("/v1/installs", json=body, headers=headers)
    again = await full.post("/v1/installs", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    problem(await full.post("/v1/installs", json={"machines": ["node02"]}, headers=headers), 422)
    problem(await full.post("/v1/installs", json=body), 409)
    token = {"name": "cmdb", "scope": "read"}
    made = await full.post("/v1/tokens", json=token, headers={"idempotency-key": "token-1"})
    told = await full.post("/v1/tokens", json=token, headers={"idempotency-key": "token-1"})
    assert made.json()["token"]
    assert "token" not in told.json()
    assert told.json()["id"] == made.json()["id"]
    batch = {"machines": [machine(40)]}
    for expected in ("created", "created"):
        done = await full.post("/v1/machines:batch", json=batch, headers={"idempotency-key": "batch-1"})
        assert done.json()[expected] == ["node40"]


async def test_the_site_is_read_and_written(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/site")).json() == {"kernel_options": [], "variables": {}}
    wanted = {"kernel_options": ["quiet"], "variables": {"ntp": "10.77.0.5"}}
    assert (await api.put("/v1/site", json=wanted)).json() == wanted
    assert (await api.get("/v1/site")).json() == wanted
    assert problem(await api.put("/v1/site", json={"ntp": 1}), 422)["errors"][0]["field"] == "ntp"


async def test_the_openapi_document_describes_it(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert {"Fleet", "Machine", "Batch", "Site", "InstallShape", "ProblemDocument"} <= set(
        document["components"]["schemas"]
    )
    references = set(_references(document))
    assert references
    for reference in references:
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert "401" in operation["responses"], path
    assert (await api.get("/docs", headers={"authorization": ""})).status_code == 200


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
