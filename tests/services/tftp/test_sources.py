"""What is served, for whom, and what its arrival means."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.events import (
    BootconfigFetched,
    Fetched,
    FileFetched,
    GrubFetched,
    InitrdFetched,
    IpxeFetched,
    KernelFetched,
    PxelinuxFetched,
    ShimFetched,
)
from services.tftp.errors import ExpectedMissError, MissingError, RefusedError
from services.tftp.files import Library
from services.tftp.fleet import Fleet
from services.tftp.loaders import LOADERS, loader_of, packaged
from services.tftp.sources import Found, Sources
from tests.services.tftp.test_fleet import ELSE, MAC, boot_files
from tests.support import needs

IP = "10.77.0.11"


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(lambda: datetime.now(UTC))


@pytest.fixture
def sources(tmp_path: Path, fleet: Fleet) -> Sources:
    for name in ("images/rocky", "site", "loaders"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "images/rocky/vmlinuz").write_bytes(b"kernel")
    (tmp_path / "images/rocky/initrd.img").write_bytes(b"initrd")
    (tmp_path / "images/rocky/README").write_bytes(b"readme")
    return Sources(fleet, Library(), images=tmp_path / "images", folders=[tmp_path / "site", tmp_path / "loaders"])


def leased(fleet: Fleet, mac: str = MAC, machine: str | None = "node01") -> None:
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    fleet.lease_changed(IP, {"ip": IP, "mac": mac, "subnet": "lab", "machine": machine, "expires": expires})


def octets(found: Found) -> bytes:
    return found.content.read(0, found.content.size)


def test_a_machine_gets_its_own_configuration(sources: Sources, fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files())
    leased(fleet)
    found = sources.find("pxelinux.cfg/01-52-54-00-00-00-01", IP)
    assert octets(found) == b"# node01"
    assert (found.event, found.boots) == (BootconfigFetched, "install")
    assert (found.who.mac, found.who.machine, found.who.install_id) == (MAC, "node01", "install-of-node01")


def test_a_machine_whose_lease_is_unknown_is_named_by_its_configuration(sources: Sources, fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files(boots="disk"))
    found = sources.find(f"grub/by-mac/{MAC}.cfg", "192.0.2.7")
    assert (found.event, found.boots, found.who.machine) == (BootconfigFetched, "disk", "node01")


def test_another_machine_that_looks_at_a_configuration_is_no_milestone(sources: Sources, fleet: Fleet) -> None:
    fleet.bootfiles_changed("node01", boot_files())
    leased(fleet, ELSE, "node02")
    found = sources.find(f"grub/by-mac/{MAC}.cfg", IP)
    assert (found.event, found.boots, found.who.machine) == (FileFetched, None, "node02")


def test_kernel_and_initrd_are_told_from_other_files_of_an_image(sources: Sources, fleet: Fleet) -> None:
    assert sources.find("images/rocky/vmlinuz", IP).event is FileFetched
    fleet.bootfiles_changed("node01", boot_files())
    found = sources.find("images/rocky/vmlinuz", IP)
    assert (found.event, octets(found)) == (KernelFetched, b"kernel")
    assert sources.find("images/rocky/initrd.img", IP).event is InitrdFetched
    assert sources.find("images/rocky/README", IP).event is FileFetched


def test_an_image_file_that_is_missing_is_a_failure(sources: Sources) -> None:
    with pytest.raises(MissingError) as caught:
        sources.find("images/rocky/none", IP)
    assert not isinstance(caught.value, ExpectedMissError)


def test_nothing_beside_the_images_is_served(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "images/out").symlink_to(tmp_path)
    for path in ("images", "images/out/site", "images/out/images/rocky/vmlinuz/x"):
        with pytest.raises((MissingError, RefusedError)):
            sources.find(path, IP)


def test_the_folder_of_the_settings_comes_before_the_one_in_the_data(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "loaders/pxelinux.0").write_bytes(b"data")
    assert octets(sources.find("pxelinux.0", IP)) == b"data"
    (tmp_path / "site/pxelinux.0").write_bytes(b"site")
    found = sources.find("pxelinux.0", IP)
    assert (octets(found), found.event) == (b"site", PxelinuxFetched)


@pytest.mark.parametrize(
    ("name", "place", "package"),
    [
        ("pxelinux.0", "/usr/lib/PXELINUX/pxelinux.0", "pxelinux"),
        ("lpxelinux.0", "/usr/lib/PXELINUX/lpxelinux.0", "pxelinux"),
        ("ldlinux.c32", "/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common"),
        ("libutil.c32", "/usr/lib/syslinux/modules/bios/libutil.c32", "syslinux-common"),
        ("shimx64.efi", "/usr/lib/shim/shimx64.efi.signed", "shim-signed"),
        ("mmx64.efi", "/usr/lib/shim/mmx64.efi.signed", "shim-signed"),
        ("grubx64.efi", "/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "grub-efi-amd64-signed"),
        ("undionly.kpxe", "/usr/lib/ipxe/undionly.kpxe", "ipxe"),
        ("ipxe.efi", "/usr/lib/ipxe/ipxe.efi", "ipxe"),
    ],
)
def test_loaders_come_from_their_packages(sources: Sources, name: str, place: str, package: str) -> None:
    assert octets(sources.find(name, IP)) == needs.file(place, package).read_bytes()


@pytest.mark.parametrize(
    ("path", "event"),
    [
        ("pxelinux.0", PxelinuxFetched),
        ("lpxelinux.0", PxelinuxFetched),
        ("shimx64.efi", ShimFetched),
        ("shimaa64.efi", ShimFetched),
        ("grubx64.efi", GrubFetched),
        ("grubaa64.efi", GrubFetched),
        ("EFI/BOOT/grubriscv64.efi", GrubFetched),
        ("undionly.kpxe", IpxeFetched),
        ("ipxe.efi", IpxeFetched),
        ("ipxe-arm64.efi", IpxeFetched),
        ("snponly.efi", IpxeFetched),
        ("ldlinux.c32", FileFetched),
        ("mmx64.efi", FileFetched),
    ],
)
def test_the_arrival_of_a_loader_is_told_by_its_name(path: str, event: type[Fetched]) -> None:
    loader = loader_of(path)
    assert loader is not None
    assert loader.event is event


def test_the_places_of_packages_are_never_left() -> None:
    assert packaged("x/../ldlinux.c32") == ()
    assert packaged("menu.lst") == ()
    assert all(place.startswith("/usr/") for loader in LOADERS for place in loader.places)


@pytest.mark.parametrize("path", ["grub/grub.cfg", "grub.cfg"])
def test_the_generic_grub_configuration_branches_on_the_hardware_address(sources: Sources, path: str) -> None:
    found = sources.find(path, IP)
    assert octets(found).startswith(b'source "/grub/by-mac/$net_default_mac.cfg"\n')
    assert found.event is FileFetched


def test_a_stranger_boots_its_disk(sources: Sources) -> None:
    assert b"LOCALBOOT -1" in octets(sources.find("pxelinux.cfg/default", IP))
    grub = octets(sources.find("grub/grub.cfg", IP))
    assert b"chainloader" in grub
    assert b"\nexit" not in grub


def test_a_registered_machine_never_boots_its_disk_for_want_of_a_configuration(sources: Sources, fleet: Fleet) -> None:
    leased(fleet)
    with pytest.raises(ExpectedMissError):
        sources.find("pxelinux.cfg/default", IP)
    assert b"chainloader" not in octets(sources.find("grub/grub.cfg", IP))


def test_the_sites_own_default_wins_over_ours(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "site/pxelinux.cfg").mkdir()
    (tmp_path / "site/pxelinux.cfg/default").write_bytes(b"menu")
    assert octets(sources.find("pxelinux.cfg/default", IP)) == b"menu"
