"""Who is behind a request, and which boot configuration is whose."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.tftp.fleet import Fleet, Who

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MAC = "52:54:00:00:00:01"
ELSE = "52:54:00:00:00:02"


def lease(mac: str = MAC, machine: str | None = "node01", hours: int = 1) -> dict[str, Any]:
    expires = (NOW + timedelta(hours=hours)).isoformat()
    return {"ip": "10.77.0.11", "mac": mac, "subnet": "lab", "machine": machine, "expires": expires}


def boot_files(machine: str = "node01", mac: str = MAC, **more: Any) -> dict[str, Any]:
    text = f"# {machine}"
    files = {f"pxelinux.cfg/01-{mac.replace(':', '-')}": text, f"grub/by-mac/{mac}.cfg": text}
    return {
        "machine": machine,
        "macs": [mac],
        "install_id": f"install-of-{machine}",
        "boots": "install",
        "files": files,
        "by_address": {"pxelinux": text + " by address", "grub": text + " for grub"},
        "kernel": "/images/rocky/vmlinuz",
        "initrd": ["/images/rocky/initrd.img"],
        **more,
    }


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(lambda: NOW)


def text(fleet: Fleet, path: str) -> str | None:
    rendered = fleet.rendered(path)
    return rendered.octets.decode() if rendered else None


def test_an_address_is_named_by_its_lease(fleet: Fleet) -> None:
    fleet.lease_changed("10.77.0.11", lease())
    assert fleet.who("10.77.0.11", "pxelinux.0") == Who(MAC, "node01", None)
    fleet.bootfiles_changed("node01", boot_files())
    assert fleet.who("10.77.0.11", "pxelinux.0") == Who(MAC, "node01", "install-of-node01")
    assert fleet.who("10.77.0.12", "pxelinux.0") == Who()


def test_a_lease_that_ran_out_names_nobody(fleet: Fleet) -> None:
    fleet.lease_changed("10.77.0.11", lease(hours=-1))
    assert fleet.who("10.77.0.11", "pxelinux.0") == Who()


def test_a_lease_that_was_given_back_names_nobody(fleet: Fleet) -> None:
    fleet.lease_changed("10.77.0.11", lease())
    fleet.lease_changed("10.77.0.11", None)
    fleet.lease_changed("10.77.0.99", None)
    assert fleet.who("10.77.0.11", "pxelinux.0") == Who()


def test_without_a_lease_the_reserved_address_names_the_machine(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(address="10.77.0.11"))
    assert fleet.who("10.77.0.11", "pxelinux.0").machine == "node01"


def test_without_an_address_the_path_names_the_machine(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(macs=[ELSE, MAC]))
    assert fleet.who("192.0.2.1", f"grub/by-mac/{MAC}.cfg") == Who(MAC, "node01", "install-of-node01")
    assert fleet.who("192.0.2.1", "pxelinux.cfg/01-52-54-00-00-00-09") == Who("52:54:00:00:00:09")


def test_a_lease_counts_more_than_a_path(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files())
    fleet.lease_changed("10.77.0.12", lease(ELSE, "node02"))
    assert fleet.who("10.77.0.12", f"grub/by-mac/{MAC}.cfg").machine == "node02"


def test_boot_configurations_are_found_in_any_case(fleet: Fleet) -> None:
    uuid = "4C4C4544-0000-2010-8020-80C04F202020"
    fleet.bootfiles_changed("node01", boot_files(files={f"/pxelinux.cfg/{uuid.lower()}": "by uuid"}))
    assert text(fleet, f"pxelinux.cfg/{uuid}") == "by uuid"


def test_a_boot_configuration_is_found_by_address(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(address="10.77.0.11"))
    assert text(fleet, "pxelinux.cfg/0A4D000B") == "# node01 by address"
    assert text(fleet, "grub/grub.cfg-0A4D000B") == "# node01 for grub"
    assert text(fleet, "pxelinux.cfg/0A4D000C") is None
    assert text(fleet, "pxelinux.cfg/0A4D00") is None


def test_the_lease_decides_whose_configuration_an_address_means(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(address="10.77.0.11"))
    fleet.bootfiles_changed("node02", boot_files("node02", ELSE))
    fleet.lease_changed("10.77.0.11", lease(ELSE, "node02"))
    assert text(fleet, "pxelinux.cfg/0A4D000B") == "# node02 by address"


def test_a_changed_document_takes_the_place_of_the_old_one(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(address="10.77.0.11"))
    fleet.bootfiles_changed("node01", boot_files(mac=ELSE, boots="disk", kernel=None, initrd=[]))
    assert text(fleet, f"grub/by-mac/{MAC}.cfg") is None
    assert text(fleet, f"grub/by-mac/{ELSE}.cfg") == "# node01"
    assert fleet.role("images/rocky/vmlinuz") is None
    assert fleet.who("10.77.0.11", "x") == Who()


def test_a_removed_document_leaves_nothing(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(address="10.77.0.11"))
    fleet.bootfiles_changed("node01", None)
    fleet.bootfiles_changed("node09", None)
    assert text(fleet, f"grub/by-mac/{MAC}.cfg") is None
    assert text(fleet, "pxelinux.cfg/0A4D000B") is None
    assert fleet.role("images/rocky/initrd.img") is None


def test_a_card_that_moved_to_another_machine_stays_there(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files())
    fleet.bootfiles_changed("node02", boot_files("node02", MAC))
    fleet.bootfiles_changed("node01", None)
    assert text(fleet, f"grub/by-mac/{MAC}.cfg") == "# node02"
    assert fleet.who("192.0.2.1", f"grub/by-mac/{MAC}.cfg").machine == "node02"


def test_a_kernel_is_one_as_long_as_a_machine_boots_it(fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files())
    fleet.bootfiles_changed("node02", boot_files("node02", ELSE))
    assert fleet.role("images/rocky/vmlinuz") == "kernel"
    assert fleet.role("images/rocky/initrd.img") == "initrd"
    assert fleet.role("images/rocky/other") is None
    fleet.bootfiles_changed("node01", None)
    assert fleet.role("images/rocky/vmlinuz") == "kernel"
    fleet.bootfiles_changed("node02", None)
    assert fleet.role("images/rocky/vmlinuz") is None


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"machine": "node01"},
        boot_files(files={"../../etc/passwd": "x"}),
        boot_files(kernel="/images/../../x"),
        boot_files(address="nowhere"),
    ],
)
def test_a_broken_document_is_refused_and_the_old_one_stays(fleet: Fleet, broken: dict[str, Any]) -> None:
    fleet.bootfiles_changed("node01", boot_files())
    with pytest.raises(ValueError, match=r"."):
        fleet.bootfiles_changed("node01", broken)
    assert text(fleet, f"grub/by-mac/{MAC}.cfg") == "# node01"
    assert fleet.role("images/rocky/vmlinuz") == "kernel"


def test_a_lease_without_a_time_zone_is_refused(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="time zone"):
        fleet.lease_changed("10.77.0.11", lease() | {"expires": "2026-01-01T00:00:00"})
