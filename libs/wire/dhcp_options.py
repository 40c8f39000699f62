"""DHCP options: their codes, and octets <-> values for each kind of value (RFC 2132 and the RFCs named below).

An option travels as octets in `Message.options`; these functions read and write one value. Every reader raises
WireError for octets that are not such a value. Codes that are not named here survive as plain numbers.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from ipaddress import IPv4Address
from uuid import UUID

from libs.wire import FieldOverflowError, WireError
from libs.wire.address import address_of
from libs.wire.cursor import Cursor


class OptionValueError(WireError):
    """An option's octets are not a value of its kind."""

    reason = "bad_option"


class Option(IntEnum):
    """Option codes (IANA "BOOTP Vendor Extensions and DHCP Options")."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DOMAIN_NAME_SERVER = 6
    HOST_NAME = 12
    BOOT_FILE_SIZE = 13
    DOMAIN_NAME = 15
    BROADCAST_ADDRESS = 28
    VENDOR_SPECIFIC = 43
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_REQUEST_LIST = 55
    MESSAGE = 56
    MAXIMUM_MESSAGE_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    VENDOR_CLASS = 60
    CLIENT_IDENTIFIER = 61
    TFTP_SERVER_NAME = 66
    BOOT_FILE = 67
    USER_CLASS = 77  # RFC 3004
    RELAY_AGENT_INFORMATION = 82  # RFC 3046
    CLIENT_ARCHITECTURE = 93  # RFC 4578 section 2.1
    CLIENT_INTERFACE = 94  # RFC 4578 section 2.2
    CLIENT_MACHINE_IDENTIFIER = 97  # RFC 4578 section 2.3
    SUBNET_SELECTION = 118  # RFC 3011
    IPXE_ENCAPSULATED = 175
    PXELINUX_MAGIC = 208  # RFC 5071
    PXELINUX_CONFIG_FILE = 209
    PXELINUX_PATH_PREFIX = 210
    END = 255


class RelayOption(IntEnum):
    """Sub-options of the relay agent information option (82)."""

    CIRCUIT_ID = 1  # RFC 3046
    REMOTE_ID = 2
    LINK_SELECTION = 5  # RFC 3527
    SERVER_OVERRIDE = 11  # RFC 5107
    SOURCE_PORT = 19  # RFC 8357


class MessageType(IntEnum):
    """Values of option 53 (RFC 2132 section 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


def read_u8(value: bytes) -> int:
    """A number of one octet."""
    return _exactly(value, 1)[0]


def read_u16(value: bytes) -> int:
    """A number of two octets."""
    return int.from_bytes(_exactly(value, 2))


def read_u32(value: bytes) -> int:
    """A number of four octets; seconds, where it is a time."""
    return int.from_bytes(_exactly(value, 4))


def write_u8(number: int) -> bytes:
    """Raises FieldOverflowError outside 0..255."""
    return _fitting(number, 1)


def write_u16(number: int) -> bytes:
    """Raises FieldOverflowError outside 0..65535."""
    return _fitting(number, 2)


def write_u32(number: int) -> bytes:
    """Raises FieldOverflowError outside 0..2**32-1."""
    return _fitting(number, 4)


def read_address(value: bytes) -> IPv4Address:
    """One address."""
    return address_of(_exactly(value, 4))


def read_addresses(value: bytes) -> list[IPv4Address]:
    """One or more addresses."""
    if not value or len(value) % 4:
        raise OptionValueError(f"{len(value)} octets are not a list of addresses")
    return [IPv4Address(value[at : at + 4]) for at in range(0, len(value), 4)]


def write_addresses(addresses: Iterable[IPv4Address]) -> bytes:
    """Addresses one after the other."""
    return b"".join(address.packed for address in addresses)


def read_text(value: bytes) -> str:
    """A text. Senders may end it with zero octets (RFC 2132 section 2); octets beyond ASCII are kept as escapes."""
    return value.rstrip(b"\0").decode("ascii", "backslashreplace")


def read_architectures(value: bytes) -> tuple[int, ...]:
    """The client's architectures, its preferred one first (RFC 4578 section 2.1: a list of 16-bit numbers)."""
    if not value or len(value) % 2:
        raise OptionValueError(f"{len(value)} octets are not a list of architectures")
    return tuple(int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2))


def write_architectures(architectures: Iterable[int]) -> bytes:
    """The list that a client sends."""
    return b"".join(write_u16(number) for number in architectures)


def read_machine_identifier(value: bytes) -> UUID | None:
    """The SMBIOS UUID of option 97 or 61; None for the all-zero and all-one values of boards that have none.

    The octet 0 (type: UUID) and 16 octets, the first three fields little-endian (RFC 4578 section 2.3).
    """
    if len(value) != 17 or value[0] != 0:
        raise OptionValueError("a client machine identifier is the octet 0 and 16 octets")
    if value[1:] in (bytes(16), b"\xff" * 16):
        return None
    return UUID(bytes_le=value[1:])


def write_machine_identifier(uuid: UUID) -> bytes:
    """The octets that firmware sends for its SMBIOS UUID."""
    return b"\0" + uuid.bytes_le


def read_user_classes(value: bytes) -> tuple[bytes, ...]:
    """The user classes of option 77: length-prefixed as RFC 3004 wants, or one bare text as iPXE sends it."""
    classes = []
    cursor = Cursor(value)
    while cursor.remaining:
        length = cursor.u8()
        if not 0 < length <= cursor.remaining:
            return (value,)
        classes.append(cursor.take(length))
    return tuple(classes)


def read_sub_options(value: bytes) -> dict[int, bytes]:
    """Sub-options of options 82 and 43: code, length, octets; repeated codes are joined.

    Option 82 knows neither PAD nor END (RFC 3046 section 2.0): code 0 and 255 are codes like others there.
    """
    found: dict[int, bytes] = {}
    cursor = Cursor(value)
    while cursor.remaining:
        code = cursor.u8()
        found[code] = found.get(code, b"") + cursor.take(cursor.u8())
    return found


def write_sub_options(options: Mapping[int, bytes]) -> bytes:
    """Sub-options in the order given. Raises FieldOverflowError for more than 255 octets in one."""
    return b"".join(bytes((code,)) + write_u8(len(value)) + value for code, value in options.items())


def _exactly(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise OptionValueError(f"{len(value)} octets where {size} were expected")
    return value


def _fitting(number: int, size: int) -> bytes:
    try:
        return number.to_bytes(size)
    except OverflowError:
        raise FieldOverflowError(f"{number} does not fit {size} octets") from None
