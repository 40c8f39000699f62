"""The service as a whole: from an order to a booted machine, on a real bus, over real HTTP."""

from pathlib import Path

import psycopg
import pytest

from libs.desired import MACHINES, SUBNETS, MachineDocument
from libs.service import ServiceError
from tests.services.inventory.support import at_order, fleet, inventory_of, journey, state_is, teller
from tests.support.postgres import empty
from tests.support.running import bus_of, nats_server, settings_in
from tests.support.waiting import until


async def test_a_machine_is_ordered_installed_and_booted(tmp_path: Path, database_url: str) -> None:
    settings = settings_in(tmp_path, database__url=database_url)
    async with nats_server(settings), inventory_of(settings) as api, teller(settings, tmp_path) as tell:
        applied = await api.post("/v1/apply", json=fleet())
        assert applied.status_code == 200, applied.text
        assert len(applied.json()["created"]) == 6
        ordered = await api.post("/v1/installs", json={"machines": ["node01"]})
        assert ordered.status_code == 201, ordered.text
        install = ordered.json()["items"][0]
        async with bus_of(settings) as bus:

            async def document() -> MachineDocument | None:
                await bus.wait_connected(5)
                found = (await bus.get_all(MACHINES)).get("node01")
                return MachineDocument.model_validate(found) if found else None

            async def netboot(wanted: str) -> MachineDocument:
                async def look() -> MachineDocument | None:
                    found = await document()
                    return found if found and found.netboot == wanted else None

                found = await until(look, f"node01 is to boot {wanted}")
                assert found
                return found

            told = await netboot("install")
            assert told.install
            assert told.install.id == install["id"]
            assert len(told.install.token) >= 32
            assert set(await bus.get_all(SUBNETS)) == {"rack1"}

            for event in journey(1, at_order(install), install_id=install["id"]):
                tell.emit(event)
            done = await state_is(api, install["id"], "booted")
            assert list(done["reached"]) == [
                "ordered", "offered", "leased", "bootloader", "configured", "kernel", "initrd", "answers",
                "installing", "installed", "booted",
            ]  # fmt: skip
            assert (await netboot("disk")).install is None

            async def timeline() -> dict[str, object] | None:
                found = (await api.get(f"/v1/installs/{install['id']}/timeline")).json()
                types = [item["event"]["type"] for item in found["items"]]
                return found if types.count("machine.booted") == 1 and None not in sequences(found) else None

            def sequences(found: dict[str, object]) -> list[int | None]:
                items = found["items"]
                assert isinstance(items, list)
                return [item["event"]["sequence"] for item in items]

            found = await until(timeline, "all events came back from the stream")
            assert found
            items = found["items"]
            assert isinstance(items, list)
            ids = [item["event"]["id"] for item in items]
            assert len(ids) == len(set(ids)) == 15 + 1 + 10 + 1  # told, ordered, state changes, booted
            times = [item["event"]["time"] for item in items]
            assert times == sorted(times)
            states = found["states"]
            assert isinstance(states, list)
            assert [span["state"] for span in states] == list(done["reached"])


async def test_a_database_that_cannot_be_used_is_said_in_one_sentence(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, database__url=f"sqlite:///{tmp_path}/missing/folder/x.db")
    with pytest.raises(ServiceError, match=r"cannot be used: unable to open database file; look at database\.url"):
        async with inventory_of(settings):
            pass


async def test_a_database_that_hangs_up_is_called_again(tmp_path: Path, postgres: str) -> None:
    empty(postgres)
    settings = settings_in(tmp_path, database__url=postgres)
    async with nats_server(settings), inventory_of(settings) as api, teller(settings, tmp_path) as tell:
        (await api.post("/v1/apply", json=fleet(1))).raise_for_status()
        (install,) = (await api.post("/v1/installs", json={"machines": ["node01"]})).json()["items"]
        for event in list(journey(1, at_order(install), install_id=install["id"]))[:10]:
            with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                connection.execute(f"{others} AND backend_type = 'client backend'")
            tell.emit(event)
        assert (await state_is(api, install["id"], "installing"))["percent"] == 50.0
