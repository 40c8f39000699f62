"""Desired state: what machines and subnets shall get, kept right in the buckets whatever happens to them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from libs.bus import Bus
from libs.desired import MACHINES, SUBNETS, MachineDocument, SubnetDocument
from services.inventory.desired import Catalogue, machine_document, subnet_document
from services.inventory.lifecycle import Life, State
from services.inventory.repository.installs import Install
from services.inventory.resources.fleet import Image, Machine, Profile, Site, Subnet
from tests.services.inventory.support import START, fleet, inventory_of, mac_of, machine
from tests.support.running import bus_of, nats_server, settings_in
from tests.support.waiting import until


def made_of(**profile: Any) -> Catalogue:
    return Catalogue(
        site=Site(kernel_options=["site=1"], variables={"a": "site", "b": "site", "c": "site", "d": "site"}),
        images={
            "rocky-9": Image.model_validate(
                {
                    "name": "rocky-9",
                    "family": "redhat",
                    "kernel": "vmlinuz",
                    "kernel_options": ["image=1"],
                    "variables": {"b": "image", "c": "image", "d": "image"},
                }
            )
        },
        profiles={
            "web": Profile.model_validate(
                {
                    "name": "web",
                    "image": "rocky-9",
                    "answers": "rocky.ks.j2",
                    "kernel_options": ["profile=1"],
                    "variables": {"c": "profile", "d": "profile"},
                    **profile,
                }
            ),
            "db": Profile(name="db", image="rocky-9"),
        },
    )


def install(life: Life | None = None, **more: Any) -> Install:
    values: dict[str, Any] = {
        "id": "i1",
        "machine": "node01",
        "mac": mac_of(1),
        "profile": "web",
        "image": "rocky-9",
        "limits": {},
        "ordered_at": START,
        "ordered_by": "tests",
        "token": "secret",
        "life": life or Life(),
    }
    return Install(**{**values, **more})


NODE = Machine.model_validate(machine(1, variables={"d": "machine"}, kernel_options=["machine=1"], tags={"rack": "r1"}))


def test_the_nearest_to_the_machine_wins() -> None:
    found = machine_document(NODE, made_of(), None)
    assert found.variables == {"a": "site", "b": "image", "c": "profile", "d": "machine"}
    assert found.kernel_options == ["site=1", "image=1", "profile=1", "machine=1"]
    assert (found.answers, found.profile, found.image and found.image.name) == ("rocky.ks.j2", "web", "rocky-9")
    assert (found.netboot, found.install, found.tags) == ("disk", None, {"rack": "r1"})


def test_the_loader_is_the_machines_or_the_profiles() -> None:
    profile = made_of(boot_loader="grub")
    assert machine_document(NODE, profile, None).boot_loader == "grub"
    assert machine_document(NODE.model_copy(update={"boot_loader": "ipxe"}), profile, None).boot_loader == "ipxe"


@pytest.mark.parametrize("milestone", [State.ORDERED, State.KERNEL, State.INSTALLING])
@pytest.mark.parametrize("stalled", [False, True])
def test_an_install_under_way_is_booted(milestone: State, stalled: bool) -> None:
    found = machine_document(NODE, made_of(), install(Life(milestone=milestone, stalled=stalled)))
    assert found.netboot == "install"
    assert found.install
    assert (found.install.id, found.install.token) == ("i1", "secret")


@pytest.mark.parametrize(
    "life",
    [
        Life(milestone=State.INSTALLED),
        Life(milestone=State.BOOTED),
        Life(ended=State.FAILED),
        Life(ended=State.CANCELLED),
    ],
)
def test_an_ended_install_boots_the_disk(life: Life) -> None:
    found = machine_document(NODE, made_of(), install(life))
    assert (found.netboot, found.install) == ("disk", None)


def test_the_orders_profile_counts_while_it_runs() -> None:
    running = install(profile="db")
    assert machine_document(NODE, made_of(), running).profile == "db"
    assert machine_document(NODE, made_of(), install(Life(ended=State.FAILED), profile="db")).profile == "web"


def test_a_subnets_document() -> None:
    found = subnet_document(
        Subnet.model_validate({"name": "rack1", "cidr": "10.77.0.0/24", "pool": ["10.77.0.9", "10.77.0.20-10.77.0.30"]})
    )
    assert [(str(pool.first), str(pool.last)) for pool in found.pools] == [
        ("10.77.0.9", "10.77.0.9"),
        ("10.77.0.20", "10.77.0.30"),
    ]
    assert found.lease_seconds == 3600


def test_excluded_addresses_are_no_part_of_the_pool() -> None:
    declared = {"pool": "10.77.0.10-10.77.0.30", "exclude": ["10.77.0.10", "10.77.0.15-10.77.0.20"]}
    found = subnet_document(Subnet.model_validate({"name": "rack1", "cidr": "10.77.0.0/24", **declared}))
    assert [(str(pool.first), str(pool.last)) for pool in found.pools] == [
        ("10.77.0.11", "10.77.0.14"),
        ("10.77.0.21", "10.77.0.30"),
    ]


async def connected(bus: Bus) -> Bus:
    assert await bus.wait_connected(10)
    return bus


async def holds(bus: Bus, bucket: str, *keys: str) -> dict[str, dict[str, Any]]:
    """Wait until a bucket holds exactly these keys."""

    found: dict[str, dict[str, Any]] = {}

    async def look() -> bool:
        nonlocal found
        found = await bus.get_all(bucket)
        return set(found) == set(keys)

    await until(look, f"{bucket} holds {keys}")
    return found


async def options(bus: Bus) -> list[str]:
    return MachineDocument.model_validate((await bus.get_all(MACHINES))["node01"]).kernel_options


async def test_the_buckets_follow_the_fleet(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), inventory_of(settings) as api, bus_of(settings) as bus:
        await connected(bus)
        (await api.post("/v1/apply", json=fleet(2))).raise_for_status()
        found = await holds(bus, MACHINES, "node01", "node02")
        assert MachineDocument.model_validate(found["node01"]).profile == "web"
        subnets = await holds(bus, SUBNETS, "rack1")
        assert str(SubnetDocument.model_validate(subnets["rack1"]).cidr) == "10.77.0.0/16"
        (await api.delete("/v1/machines/node02")).raise_for_status()
        await holds(bus, MACHINES, "node01")
        (await api.put("/v1/profiles/web", json={"image": "rocky-9", "kernel_options": ["quiet"]})).raise_for_status()

        async def quiet() -> bool:
            return await options(bus) == ["quiet"]

        await until(quiet, "the machine's document follows its profile")
        (await api.put("/v1/site", json={"kernel_options": ["site=1"]})).raise_for_status()

        async def site() -> bool:
            return await options(bus) == ["site=1", "quiet"]

        await until(site, "the machine's document follows the site")
        (await api.delete("/v1/machines/node01")).raise_for_status()
        (await api.delete("/v1/subnets/rack1")).raise_for_status()
        await holds(bus, MACHINES)
        await holds(bus, SUBNETS)


async def test_after_a_restart_the_buckets_are_put_right(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        await connected(bus)
        async with inventory_of(settings) as api:
            (await api.post("/v1/apply", json=fleet(2))).raise_for_status()
            before = await holds(bus, MACHINES, "node01", "node02")
            await holds(bus, SUBNETS, "rack1")
        await bus.delete(MACHINES, "node01")
        await bus.put(MACHINES, "node02", {**before["node02"], "netboot": "deny"})
        await bus.put(MACHINES, "ghost", {**before["node02"], "name": "ghost"})
        await bus.put(SUBNETS, "gone", {"name": "gone", "cidr": "10.9.0.0/24"})
        async with inventory_of(settings):
            await holds(bus, SUBNETS, "rack1")

            async def right() -> bool:
                return await bus.get_all(MACHINES) == before

            await until(right, "all is as it was")
            # Also while it runs: nobody else writes here.
            await bus.put(MACHINES, "ghost", {"name": "ghost", "macs": []})
            await bus.delete(SUBNETS, "rack1")
            await until(right, "the ghost is gone again")
            await holds(bus, SUBNETS, "rack1")


async def test_a_bus_that_lost_its_data_gets_all_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings) as server, inventory_of(settings) as api, bus_of(settings) as bus:
        await connected(bus)
        (await api.post("/v1/apply", json=fleet(2))).raise_for_status()
        await holds(bus, MACHINES, "node01", "node02")
        await server.stop()
        shutil.rmtree(settings.data / "nats" / "jetstream")
        await server.start()
        await until(lambda: not bus.connected, "the loss is noticed")
        await connected(bus)
        await holds(bus, MACHINES, "node01", "node02")
        await holds(bus, SUBNETS, "rack1")


async def test_a_new_database_beside_a_fleet_deletes_nothing_until_it_is_declared(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        await connected(bus)
        document = {"name": "old", "cidr": "10.9.0.0/24"}
        await bus.put(SUBNETS, "old", document)
        async with inventory_of(settings) as api:
            (await api.put("/v1/site", json={"kernel_options": ["quiet"]})).raise_for_status()
            assert await bus.get_all(SUBNETS) == {"old": document}
            (await api.post("/v1/apply", json=fleet(1))).raise_for_status()
            await holds(bus, SUBNETS, "rack1")
