"""Boot files on the bus: they follow the fleet and the templates, and never become worse than they were."""

from pathlib import Path

from libs.desired import BOOTFILES, LEASES, MACHINES, SUBNETS, LeaseDocument, SubnetDocument
from tests.services.kickstart.examples import LOOPBACK, TOKEN, install, machine
from tests.services.kickstart.world import World, on_bus, running, world, write
from tests.support.running import bus_of, nats_server, settings_in
from tests.support.waiting import until

BY_MAC = "pxelinux.cfg/01-52-54-00-00-00-01"


async def test_boot_files_follow_the_machine(house: World) -> None:
    await house.order()
    written = await house.until_boot_files(install_id="i1", boots="install")
    assert f"inst.ks=http://127.0.0.1:{house.http.base_url.port}/i/{TOKEN}/ks.cfg" in written.files[BY_MAC]
    await house.order(netboot="disk", install=None)
    assert "LOCALBOOT" in (await house.until_boot_files(boots="disk")).files[BY_MAC]
    await house.put(MACHINES, machine(netboot="deny", install=None))
    await house.until_no_boot_files()
    await house.order()
    await house.remove(MACHINES, "node01")
    await house.until_no_boot_files()


async def test_boot_files_follow_the_subnet(house: World) -> None:
    (house.templates / "boot").mkdir()
    (house.templates / "boot" / "disk.pxelinux.j2").write_text("# {{ subnet.domain|default('none') }}\n")
    await house.order(netboot="disk", install=None)
    other = LOOPBACK.model_copy(update={"domain": "other.example"})
    await house.put(SUBNETS, other)
    await house.until_text("# other.example\n")


async def _text(house: World) -> str:
    """What the bus has at this moment."""
    found = await house.boot_files()
    assert found
    return found.files[BY_MAC]


async def test_a_machine_without_address_is_where_its_lease_is(house: World) -> None:
    """Two subnets: the machine's own is known once dhcp has told of its lease."""
    (house.templates / "boot").mkdir()
    (house.templates / "boot" / "disk.pxelinux.j2").write_text("# {{ subnet.name|default('nowhere') }}\n")
    other = SubnetDocument.model_validate({"name": "other", "cidr": "10.99.0.0/24"})
    await house.put(SUBNETS, other)
    await house.order(netboot="disk", install=None)
    lease = {"ip": "10.99.0.7", "mac": "52:54:00:00:00:01", "subnet": "other", "expires": "2030-01-01T00:00:00Z"}
    await house.put(LEASES, LeaseDocument.model_validate(lease), key="10.99.0.7")
    await house.until_text("# other\n")


async def test_a_changed_template_of_the_site_is_rendered_for_machines_that_wait(house: World) -> None:
    await house.order(netboot="disk", install=None)
    (house.templates / "boot").mkdir()
    own = house.templates / "boot" / "disk.pxelinux.j2"
    own.write_text("# ours\n")
    await house.until_text("# ours\n")
    own.unlink()
    await house.until_text("LOCALBOOT")


async def test_a_broken_template_never_replaces_a_working_one(house: World) -> None:
    await house.order()
    before = await house.until_boot_files(boots="install")
    (house.templates / "boot").mkdir()
    own = house.templates / "boot" / "install.pxelinux.j2"
    own.write_text("x\n{{ vars.rack }}\n")
    failed = await house.until_event("answers.failed", machine="node01")
    assert failed.reason == "boot/install.pxelinux.j2, line 2: vars.rack is not defined"
    assert (failed.install_id, failed.path) == ("i1", "boot/install.pxelinux.j2")
    assert await house.boot_files() == before
    own.write_text("{{ unclosed\n")
    assert await house.until_event("answers.failed", machine=None, path="boot/install.pxelinux.j2", reason=_SYNTAX)
    assert await house.boot_files() == before
    own.write_text("# mended\n")
    await house.until_text("# mended\n")
    own.write_text("{{ unclosed again\n")
    await until(lambda: len(house.tape.of("answers.failed", machine=None)) == 2, "the template is told of again")
    assert await _text(house) == "# mended\n"
    await house.order(kernel_options=["quiet"])
    assert await _text(house) == "# mended\n"  # what is rendered now is rendered from its last good text
    assert len(house.tape.of("answers.failed", machine="node01")) == 1


_SYNTAX = "boot/install.pxelinux.j2, line 1: unexpected end of template, expected 'end of print statement'."


async def test_an_install_that_cannot_be_rendered_leaves_the_machine_at_its_disk(house: World) -> None:
    await house.order(netboot="disk", install=None)
    (house.templates / "boot").mkdir()
    (house.templates / "boot" / "install.grub.j2").write_text("{{ vars.rack }}")
    await house.put(MACHINES, machine())
    assert await house.until_event("answers.failed", machine="node01", install_id="i1")
    assert (await house.until_boot_files()).boots == "disk"


async def test_what_the_bus_has_lost_is_written_again(house: World) -> None:
    await house.order()
    await house.remove(BOOTFILES, "node01")
    await house.until_boot_files(install_id="i1")


async def test_boot_files_that_belong_to_no_machine_are_removed_at_the_start(tmp_path: Path) -> None:
    async with world(tmp_path) as house:
        await house.order()
        await house.order(name="node02", macs=["52:54:00:00:00:02"], install=install("i2", "another-token"))
    settings = settings_in(tmp_path)
    async with nats_server(settings), bus_of(settings) as bus:
        assert await bus.wait_connected(30)
        await write(bus, MACHINES, "node02", None)
        async with running(settings):

            async def one_left() -> bool:
                return await on_bus(bus, "node02") is None

            await until(one_left, "the files of the machine that is gone are gone")
            assert await on_bus(bus), "the other machine keeps its files"
