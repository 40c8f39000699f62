"""TFTP packets: octets <-> frozen messages (RFC 1350 section 5, options by RFC 2347).

Reading forgives what real clients and networks do: any case of modes, octets behind the end that a tunnel padded,
an option cut short. It never forgives a missing name or mode.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from libs.wire import FieldOverflowError, UnterminatedError, WireError
from libs.wire.cursor import Cursor

SERVER_PORT = 69
HEADER_SIZE = 4  # octets before the payload of a DATA packet
DEFAULT_BLKSIZE = 512  # RFC 1350 section 2
MIN_BLKSIZE, MAX_BLKSIZE = 8, 65464  # RFC 2348
MAX_WINDOWSIZE = 65535  # RFC 7440 section 3
MAX_TIMEOUT = 255  # seconds, RFC 2349

_NUMBERS = struct.Struct("!HH")


class Opcode(IntEnum):
    """The first two octets of a packet."""

    RRQ = 1
    WRQ = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6  # RFC 2347


class ErrorCode(IntEnum):
    """Codes of an ERROR packet (RFC 1350 appendix I, 8 by RFC 2347)."""

    UNDEFINED = 0
    FILE_NOT_FOUND = 1
    ACCESS_VIOLATION = 2
    DISK_FULL = 3
    ILLEGAL_OPERATION = 4
    UNKNOWN_TRANSFER_ID = 5
    FILE_EXISTS = 6
    NO_SUCH_USER = 7
    OPTION_NEGOTIATION = 8


class OpcodeError(WireError):
    """The first two octets are no opcode of TFTP."""

    reason = "bad_opcode"


class TextError(WireError):
    """A text holds a zero octet, which would end it, or cannot be written as UTF-8."""

    reason = "bad_text"


@dataclass(frozen=True, slots=True)
class Request:
    """What RRQ and WRQ have in common. `mode` is in lower case, options are spelled as they were sent."""

    OPCODE: ClassVar[Opcode]

    path: str
    mode: str = "octet"
    options: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Write the packet. Raises TextError."""
        return self.OPCODE.to_bytes(2) + _texts(self.path, self.mode) + _write_options(self.options)


@dataclass(frozen=True, slots=True)
class ReadRequest(Request):
    """RRQ: the client wants a file."""

    OPCODE = Opcode.RRQ


@dataclass(frozen=True, slots=True)
class WriteRequest(Request):
    """WRQ: the client wants to store a file."""

    OPCODE = Opcode.WRQ


@dataclass(frozen=True, slots=True)
class Data:
    """DATA: one block. Fewer octets than the block size end the transfer."""

    block: int
    payload: bytes

    def encode(self) -> bytes:
        """Write the packet. Raises FieldOverflowError for a block outside 0..65535."""
        return _numbers(Opcode.DATA, self.block) + self.payload


@dataclass(frozen=True, slots=True)
class Ack:
    """ACK: the block, and with a window all before it (RFC 7440), have arrived; 0 accepts the options."""

    block: int

    def encode(self) -> bytes:
        """Write the packet. Raises FieldOverflowError for a block outside 0..65535."""
        return _numbers(Opcode.ACK, self.block)


@dataclass(frozen=True, slots=True)
class Error:
    """ERROR: the transfer has ended. `code` may be one that no RFC names."""

    code: int
    message: str = ""

    def encode(self) -> bytes:
        """Write the packet. Raises FieldOverflowError or TextError."""
        return _numbers(Opcode.ERROR, self.code) + _texts(self.message)


@dataclass(frozen=True, slots=True)
class OptionAck:
    """OACK: the options that the server grants, and their values (RFC 2347)."""

    options: Mapping[str, str]

    def encode(self) -> bytes:
        """Write the packet. Raises TextError."""
        return Opcode.OACK.to_bytes(2) + _write_options(self.options)


Packet = ReadRequest | WriteRequest | Data | Ack | Error | OptionAck


def decode(raw: bytes) -> Packet:
    """Read one datagram. Raises WireError where it is no TFTP packet."""
    cursor = Cursor(raw)
    opcode = cursor.u16()
    if opcode == Opcode.ACK:
        return Ack(cursor.u16())
    if opcode == Opcode.DATA:
        return Data(cursor.u16(), cursor.rest())
    if opcode == Opcode.RRQ:
        return ReadRequest(_text(cursor.until()), _text(cursor.until()).lower(), _read_options(cursor))
    if opcode == Opcode.WRQ:
        return WriteRequest(_text(cursor.until()), _text(cursor.until()).lower(), _read_options(cursor))
    if opcode == Opcode.ERROR:
        return Error(cursor.u16(), _text(cursor.rest().partition(b"\0")[0]))
    if opcode == Opcode.OACK:
        return OptionAck(_read_options(cursor))
    raise OpcodeError(f"{opcode} is no TFTP opcode")


def acknowledged(raw: bytes) -> int:
    """The block of an ACK, -1 for any other datagram: the one question asked for every packet of a transfer."""
    if len(raw) >= HEADER_SIZE and raw[1] == Opcode.ACK and raw[0] == 0:
        return raw[2] << 8 | raw[3]
    return -1


def data_header(block: int) -> bytes:
    """The octets before the payload of block `block`, counted from 1 without end; 65535 is followed by 0."""
    return _NUMBERS.pack(Opcode.DATA, block & 0xFFFF)


def option(options: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """An option as it was spelled, and its value; names are equal in any case (RFC 2347)."""
    for spelled, value in options.items():
        if spelled.lower() == name:
            return spelled, value
    return None


def _numbers(opcode: Opcode, number: int) -> bytes:
    try:
        return _NUMBERS.pack(opcode, number)
    except struct.error:
        raise FieldOverflowError(f"{number} does not fit two octets") from None


def _texts(*texts: str) -> bytes:
    if any("\0" in text for text in texts):
        raise TextError("a text holds a zero octet")
    try:
        return b"".join(text.encode() + b"\0" for text in texts)
    except UnicodeEncodeError:
        raise TextError("a text cannot be written as UTF-8") from None


def _text(raw: bytes) -> str:
    """Names are ASCII (RFC 1350); what is more is read as UTF-8, and else octet by octet, so that no name is lost."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _write_options(options: Mapping[str, str]) -> bytes:
    return b"".join(_texts(name, value) for name, value in options.items())


def _read_options(cursor: Cursor) -> dict[str, str]:
    """Pairs of name and value. An option may come once (RFC 2347): the first one counts."""
    options: dict[str, str] = {}
    seen: set[str] = set()
    while cursor.remaining:
        try:
            name, value = _text(cursor.until()), _text(cursor.until())
        except UnterminatedError:
            break  # octets that were padded, or an option cut short
        if not name:
            break
        if name.lower() not in seen:
            seen.add(name.lower())
            options[name] = value
    return options
