"""Names from the network."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tftp.errors import RefusedError
from services.tftp.paths import address_in, is_expected_miss, mac_in, normalise, printable


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("pxelinux.0", "pxelinux.0"),
        ("/pxelinux.0", "pxelinux.0"),
        ("\\Boot\\x64\\grub.efi", "Boot/x64/grub.efi"),
        ("//images///rocky//vmlinuz", "images/rocky/vmlinuz"),
        ("./a/./b", "a/b"),
        ("a/", "a"),
        ("", ""),
        ("/", ""),
        ("a..b/...", "a..b/..."),
    ],
)
def test_spellings_become_one_path(asked: str, path: str) -> None:
    assert normalise(asked) == path


@pytest.mark.parametrize("asked", ["..", "../a", "a/../b", "a\\..\\..\\b", "/..", "images/../../etc/passwd"])
def test_a_path_that_climbs_is_refused(asked: str) -> None:
    with pytest.raises(RefusedError) as caught:
        normalise(asked)
    assert asked not in caught.value.text


@given(st.text(st.sampled_from("ab./\\"), max_size=30))
def test_a_path_never_climbs_and_is_its_own_spelling(asked: str) -> None:
    try:
        path = normalise(asked)
    except RefusedError:
        return
    assert normalise(path) == path
    assert not path.startswith("/")
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    ("path", "mac"),
    [
        ("pxelinux.cfg/01-52-54-00-00-00-0a", "52:54:00:00:00:0a"),
        ("grub/grub.cfg-01-52-54-00-00-00-0A", "52:54:00:00:00:0a"),
        ("grub/by-mac/52:54:00:00:00:0a.cfg", "52:54:00:00:00:0a"),
        ("ipxe/52-54-00-00-00-0a", "52:54:00:00:00:0a"),
        ("pxelinux.cfg/01-ff-ff-ff-ff-ff-ff", None),
        ("pxelinux.cfg/4c4c4544-0000-2010-8020-80c04f202020", None),
        ("pxelinux.cfg/default", None),
        ("images/52-54-00-00-00-0a/vmlinuz", None),
    ],
)
def test_the_hardware_address_in_a_path(path: str, mac: str | None) -> None:
    assert mac_in(path) == mac


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("pxelinux.cfg/0A4D000B", ("pxelinux", IPv4Address("10.77.0.11"))),
        ("grub/grub.cfg-0A4D000B", ("grub", IPv4Address("10.77.0.11"))),
        ("grub.cfg-0a4d000b", ("grub", IPv4Address("10.77.0.11"))),
        ("pxelinux.cfg/0A4D000", None),
        ("pxelinux.cfg/default", None),
        ("images/0A4D000B", None),
    ],
)
def test_the_address_in_a_path_is_whole_or_none(path: str, named: tuple[str, IPv4Address] | None) -> None:
    assert address_in(path) == named


@pytest.mark.parametrize(
    "path", ["vmlinuz", "images/rocky/vmlinuz", "pxelinux.0", "ldlinux.c32", "grubx64.efi", "a.efi"]
)
def test_what_a_machine_cannot_boot_without_is_no_expected_miss(path: str) -> None:
    assert not is_expected_miss(path)


def test_names_are_harmless_in_logs() -> None:
    assert printable("a\r\n\x1b[31mb\x00") == "a???[31mb?"
    assert len(printable("x" * 2000)) == 255
