"""Who is told to boot what."""

from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import pytest

from libs.desired import BootLoader, MachineDocument
from libs.wire.dhcp import NONE, encode
from libs.wire.dhcp_options import MessageType, Option, write_machine_identifier
from libs.wire.pxe import ARCHITECTURES, Architecture
from services.dhcp.boot import KickstartAddress, boot_loader
from services.dhcp.exchange import Datagram
from tests.services.dhcp.lab import (
    EVERYONE,
    OTHER,
    PXE,
    SERVER,
    STRANGER,
    Answer,
    far_subnet,
    lab,
    machine,
    message,
    subnet,
)

INSTALL = machine(netboot="install")
SCRIPT = "http://10.77.0.2:8081/boot/ipxe/52-54-00-00-00-01"


def ask(
    vendor_class: bytes = PXE,
    arch: int | None = None,
    user_class: bytes = b"",
    member: MachineDocument = INSTALL,
    loader: BootLoader = "auto",
    **subnet_changes: Any,
) -> Answer:
    options = {Option.VENDOR_CLASS: vendor_class}
    if arch is not None:
        options[Option.CLIENT_ARCHITECTURE] = arch.to_bytes(2)
    if user_class:
        options[Option.USER_CLASS] = user_class
    place = lab(subnet(boot_loader=loader, **subnet_changes), member)
    return place.put(message(MessageType.DISCOVER, options=options))


def program(answer: Answer) -> str:
    """The boot program; server, `file` and option 67 must agree."""
    reply = answer.given
    assert reply.options[Option.BOOT_FILE] == reply.file + b"\0"
    assert reply.siaddr == SERVER
    return reply.file.decode()


@pytest.mark.parametrize(
    ("arch", "loader", "file"),
    [
        (None, "auto", "pxelinux.0"),
        (0, "auto", "pxelinux.0"),
        (0, "lpxelinux", "lpxelinux.0"),
        (0, "grub", "pxelinux.0"),
        (0, "ipxe", "undionly.kpxe"),
        (7, "auto", "shimx64.efi"),
        (9, "auto", "shimx64.efi"),
        (7, "shim", "shimx64.efi"),
        (7, "grub", "grubx64.efi"),
        (7, "pxelinux", "shimx64.efi"),
        (7, "ipxe", "ipxe.efi"),
        (6, "auto", "grubia32.efi"),
        (6, "ipxe", "ipxe-ia32.efi"),
        (10, "auto", "grubarm.efi"),
        (27, "auto", "grubriscv64.efi"),
        (27, "ipxe", "ipxe-riscv64.efi"),
        (39, "auto", "grubloongarch64.efi"),
        (11, "auto", "shimaa64.efi"),
        (11, "grub", "grubaa64.efi"),
    ],
)
def test_the_boot_program_follows_from_architecture_and_loader(arch: int | None, loader: BootLoader, file: str) -> None:
    assert program(ask(arch=arch, loader=loader)) == file


@pytest.mark.parametrize(
    ("arch", "loader", "file"),
    [
        (0, "auto", SCRIPT),
        (0, "ipxe", SCRIPT),
        (0, "pxelinux", "pxelinux.0"),
        (0, "lpxelinux", "lpxelinux.0"),
        (0, "grub", SCRIPT),
        (7, "auto", SCRIPT),
        (7, "pxelinux", SCRIPT),
        (7, "grub", "grubx64.efi"),
        (7, "shim", "shimx64.efi"),
    ],
)
def test_ipxe_gets_its_script_and_never_itself(arch: int, loader: BootLoader, file: str) -> None:
    answer = ask(arch=arch, user_class=b"iPXE", loader=loader)
    assert program(answer) == file
    assert not {Option.VENDOR_CLASS, Option.VENDOR_SPECIFIC} & set(answer.given.options)


@pytest.mark.parametrize(
    ("arch", "loader"),
    [
        (15, "ipxe-ia32.efi"),
        (16, "ipxe.efi"),
        (18, "ipxe-arm32.efi"),
        (19, "ipxe-arm64.efi"),
        (28, "ipxe-riscv64.efi"),
        (40, "ipxe-loong64.efi"),
    ],
)
def test_http_boot_gets_an_absolute_url_and_its_class(arch: int, loader: str) -> None:
    """UEFI 2.10 section 24.7.3: the class tells the firmware that the offer is for HTTP boot."""
    answer = ask(b"HTTPClient:Arch:%05d:UNDI:003000" % arch, arch)
    assert program(answer) == f"http://10.77.0.2:8081/boot/{loader}"
    assert answer.given.options[Option.VENDOR_CLASS] == b"HTTPClient"
    assert Option.VENDOR_SPECIFIC not in answer.given.options
    assert Option.DOMAIN_NAME_SERVER in answer.given.options


@pytest.mark.parametrize("user_class", [b"", b"iPXE"])
@pytest.mark.parametrize("loader", ["pxelinux", "lpxelinux"])
def test_pxelinux_is_told_where_its_configuration_is(loader: BootLoader, user_class: bytes) -> None:
    """RFC 5071 section 4; no path prefix (section 5), the loader's own folder is right."""
    options = ask(arch=0, loader=loader, user_class=user_class).given.options
    assert options[Option.PXELINUX_CONFIG_FILE] == b"pxelinux.cfg/01-52-54-00-00-00-01"
    assert Option.PXELINUX_PATH_PREFIX not in options


def test_other_loaders_are_not_told_of_pxelinux() -> None:
    assert Option.PXELINUX_CONFIG_FILE not in ask(arch=7).given.options


def test_options_60_and_43_come_together() -> None:
    """PXE 2.1 section 2.4.3; 60 alone sends EDK2 to port 4011."""
    options = ask(arch=7).given.options
    assert options[Option.VENDOR_CLASS] == b"PXEClient"
    assert options[Option.VENDOR_SPECIFIC].hex() == "060108ff"


def test_the_machine_identifier_is_echoed_to_firmware() -> None:
    """RFC 4578 section 2.3; PXELINUX asks for a configuration by it only then."""
    identifier = write_machine_identifier(UUID("00112233-4455-6677-8899-aabbccddeeff"))
    firmware = {Option.VENDOR_CLASS: PXE, Option.CLIENT_MACHINE_IDENTIFIER: identifier}
    system = {Option.CLIENT_MACHINE_IDENTIFIER: identifier}
    place = lab()
    assert place.put(message(MessageType.DISCOVER, options=firmware)).given.options[97] == identifier
    assert 97 not in place.put(message(MessageType.DISCOVER, options=system)).given.options


def without_boot_information(answer: Answer) -> bool:
    reply = answer.given
    told = {Option.BOOT_FILE, Option.VENDOR_CLASS, Option.VENDOR_SPECIFIC, Option.TFTP_SERVER_NAME}
    told.add(Option.PXELINUX_CONFIG_FILE)
    return (reply.siaddr, reply.file) == (NONE, b"") and not told & set(reply.options)


@pytest.mark.parametrize("vendor_class", [b"udhcp 1.35.0", b"anaconda-Linux 6.1 x86_64", b"d-i", b"MSFT 5.0"])
def test_installers_and_systems_get_no_boot_information(vendor_class: bytes) -> None:
    assert without_boot_information(ask(vendor_class))


@pytest.mark.parametrize(("row", "arch"), [(row, code) for row in ARCHITECTURES for code in row.codes])
@pytest.mark.parametrize("user_class", [b"", b"iPXE"])
def test_a_machine_that_may_not_netboot_gets_no_boot_information(
    row: Architecture, arch: int, user_class: bytes
) -> None:
    denied = machine(netboot="deny")
    answer = ask(b"HTTPClient" if row.http else PXE, arch, user_class, denied)
    assert without_boot_information(answer)
    assert answer.address == "10.77.0.100"


def test_an_unknown_machine_gets_no_boot_information() -> None:
    place = lab(subnet(unknown="lease"), INSTALL)
    assert without_boot_information(place.discover(STRANGER, VENDOR_CLASS=PXE))


def test_an_architecture_that_nobody_knows_gets_no_boot_information() -> None:
    assert without_boot_information(ask(arch=31))


def test_a_refusal_carries_no_boot_information() -> None:
    place = lab(subnet(), INSTALL)
    refused = {Option.REQUESTED_ADDRESS: IPv4Address("192.168.1.1").packed, Option.VENDOR_CLASS: PXE}
    assert without_boot_information(place.put(message(MessageType.REQUEST, options=refused)))


def test_a_machine_that_boots_its_disk_still_gets_its_loader() -> None:
    """It is the loader that is told to boot the disk."""
    assert program(ask(member=machine(netboot="disk"))) == "pxelinux.0"


def test_another_boot_server_may_be_named() -> None:
    reply = ask(next_server=IPv4Address("10.77.0.9")).given
    assert (str(reply.siaddr), reply.file) == ("10.77.0.9", b"pxelinux.0")


def test_the_machines_boot_loader_comes_before_its_subnets() -> None:
    assert boot_loader(machine(boot_loader="grub"), subnet(boot_loader="shim")) == "grub"
    assert boot_loader(machine(), subnet(boot_loader="shim")) == "shim"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (KickstartAddress(), "http://10.77.0.2:8081"),
        (KickstartAddress(host="10.0.0.9", port=80), "http://10.0.0.9:80"),
        (KickstartAddress(url="https://boot.example/"), "https://boot.example"),
    ],
)
def test_where_kickstart_is(address: KickstartAddress, url: str) -> None:
    assert address.towards(SERVER) == url


def test_a_url_too_long_for_the_field_is_in_the_option_alone() -> None:
    place = lab(subnet(), INSTALL)
    place.desk.kickstart = KickstartAddress(url="http://boot.example/" + "x" * 120)
    reply = place.discover(VENDOR_CLASS=PXE, USER_CLASS=b"iPXE").given
    assert (reply.file, reply.options[Option.BOOT_FILE][:20]) == (b"", b"http://boot.example/")


def test_two_machines_in_one_batch_get_each_their_own() -> None:
    place = lab(subnet(), INSTALL, machine("node02", OTHER, netboot="install", boot_loader="lpxelinux"))
    datagrams = [
        Datagram(encode(message(MessageType.DISCOVER, mac, {60: PXE})), NONE, 68, EVERYONE, SERVER, "eth1", 7)
        for mac in (INSTALL.macs[0], OTHER)
    ]
    files = [reply.data[108:236].rstrip(b"\0") for reply in place.engine.handle(datagrams, place.now).replies]
    assert files == [b"pxelinux.0", b"lpxelinux.0"]


def test_through_a_relay_the_boot_server_is_the_address_that_the_relay_reached() -> None:
    place = lab(far_subnet(), INSTALL)
    reply = place.relayed(message(MessageType.DISCOVER, options={60: PXE})).given
    assert (reply.siaddr, reply.file) == (SERVER, b"pxelinux.0")
