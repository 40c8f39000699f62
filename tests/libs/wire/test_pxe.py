"""What firmware is, as its options say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.wire.dhcp import Message
from libs.wire.dhcp_options import Option
from libs.wire.pxe import ARCHITECTURES, client_of

PXE = b"PXEClient:Arch:00000:UNDI:002001"


def request(**options: bytes) -> Message:
    return Message(op=1, xid=1, chaddr=bytes(6), options={Option[name]: value for name, value in options.items()})


@pytest.mark.parametrize(
    ("arch", "name"),
    [
        ("0000", "bios"),
        ("0006", "uefi-ia32"),
        ("0007", "uefi-x64"),
        ("0009", "uefi-x64"),
        ("000a", "uefi-arm32"),
        ("000b", "uefi-arm64"),
        ("0010", "uefi-x64-http"),
        ("0013", "uefi-arm64-http"),
        ("001b", "uefi-riscv64"),
        ("001c", "uefi-riscv64-http"),
        ("0027", "uefi-loongarch64"),
        ("0028", "uefi-loongarch64-http"),
        ("ffff0007", "uefi-x64"),
    ],
)
def test_the_architecture_is_the_first_known_number_of_option_93(arch: str, name: str) -> None:
    """RFC 4578 section 2.1."""
    architecture = client_of(request(VENDOR_CLASS=PXE, CLIENT_ARCHITECTURE=bytes.fromhex(arch))).architecture
    assert architecture
    assert architecture.name == name


def test_firmware_without_option_93_is_a_bios() -> None:
    architecture = client_of(request(VENDOR_CLASS=PXE)).architecture
    assert architecture
    assert architecture.name == "bios"


@pytest.mark.parametrize("value", [b"\x00", b"\xff\xfe"])
def test_an_architecture_nobody_knows_is_none(value: bytes) -> None:
    assert client_of(request(VENDOR_CLASS=PXE, CLIENT_ARCHITECTURE=value)).architecture is None


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"VENDOR_CLASS": PXE}, "pxe"),
        ({"VENDOR_CLASS": PXE, "USER_CLASS": b"iPXE"}, "ipxe"),
        ({"VENDOR_CLASS": PXE, "USER_CLASS": b"\x04iPXE"}, "ipxe"),
        ({"VENDOR_CLASS": PXE, "IPXE_ENCAPSULATED": b"\xb1\x05"}, "ipxe"),
        ({"USER_CLASS": b"iPXE"}, "ipxe"),
        ({"VENDOR_CLASS": b"HTTPClient:Arch:00016"}, "http"),
        ({"VENDOR_CLASS": b"udhcp 1.35.0"}, "other"),
        ({"USER_CLASS": b""}, "other"),
        ({}, "other"),
    ],
)
def test_the_kind_of_client(options: dict[str, bytes], kind: str) -> None:
    client = client_of(request(**options))
    assert (client.kind, client.boots) == (kind, kind != "other")


def test_a_machine_identifier_of_the_wrong_length_counts_as_absent() -> None:
    assert client_of(request(CLIENT_MACHINE_IDENTIFIER=b"\x00abc")).uuid is None


@given(st.dictionaries(st.sampled_from([60, 77, 93, 97, 175]), st.binary(max_size=40)))
def test_no_octets_in_these_options_raise(options: dict[int, bytes]) -> None:
    client_of(Message(op=1, xid=1, chaddr=bytes(6), options=options))


def test_every_row_of_the_table_has_a_loader_for_auto_and_numbers_of_its_own() -> None:
    codes = [code for row in ARCHITECTURES for code in row.codes]
    assert len(codes) == len(set(codes))
    assert all(row.loaders["auto"] for row in ARCHITECTURES)
