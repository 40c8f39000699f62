"""DHCPv4 messages: octets <-> frozen `Message` (RFC 2131 section 2).

Reading takes everything a client may do: PAD, split options (RFC 3396) and options in `file` and `sname`
(overload, RFC 2132 section 9.3). Writing uses the plain form alone: boot firmware reads `file` where it stands, so
options never go there; an option of more than 255 octets is split; option 82 comes last (RFC 3046 section 2.1).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from libs.wire import FieldOverflowError, WireError
from libs.wire.cursor import Cursor
from libs.wire.dhcp_options import MessageType, Option, read_u8

BOOTREQUEST = 1
BOOTREPLY = 2
BROADCAST_FLAG = 0x8000
ETHERNET = 1  # hardware type (htype)
SERVER_PORT = 67
CLIENT_PORT = 68
MINIMUM_SIZE = 300  # octets: old boot ROMs ignore a shorter message (RFC 1542 section 2.1)
NONE = IPv4Address(0)

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_COOKIE = b"\x63\x82\x53\x63"
_FILE_OVERLOADED, _SNAME_OVERLOADED = 1, 2
_ZERO = bytes(4)
_CHUNK = 255


class NotDhcpError(WireError):
    """The octets 236 to 239 are not the magic cookie 63.82.53.63, or `op` is neither request nor reply."""

    reason = "not_dhcp"


class HardwareLengthError(WireError):
    """`hlen` says that the hardware address is longer than its field of 16 octets."""

    reason = "bad_hlen"


class OverloadError(WireError):
    """Option 52 has a value other than 1, 2 or 3."""

    reason = "bad_overload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. Addresses are 0.0.0.0 where there is none; `options` holds each code once, in order of arrival.

    `chaddr` has the `hlen` octets that count; `sname` and `file` end before their first zero octet.
    """

    op: int
    xid: int
    chaddr: bytes
    htype: int = ETHERNET
    hops: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: IPv4Address = NONE
    yiaddr: IPv4Address = NONE
    siaddr: IPv4Address = NONE
    giaddr: IPv4Address = NONE
    sname: bytes = b""
    file: bytes = b""
    options: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def type(self) -> int | None:
        """Option 53; None in a BOOTP message. Raises WireError where it is not one octet."""
        value = self.options.get(Option.MESSAGE_TYPE)
        return None if value is None else read_u8(value)

    @property
    def type_name(self) -> str:
        """The message type in lower case, as logs and metrics name it; "other" for none or an unknown one."""
        value = self.options.get(Option.MESSAGE_TYPE, b"")
        return MessageType(value[0]).name.lower() if len(value) == 1 and 1 <= value[0] <= 8 else "other"

    @property
    def wants_broadcast(self) -> bool:
        """The client cannot receive unicast before it has an address (RFC 2131 section 4.1)."""
        return bool(self.flags & BROADCAST_FLAG)


def decode(data: bytes) -> Message:
    """Read one datagram's payload. Raises WireError. A missing END is forgiven, a cut option is not."""
    cursor = Cursor(data)
    (op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file) = _HEADER.unpack(
        cursor.take(_HEADER.size)
    )
    if cursor.take(4) != _COOKIE or op not in (BOOTREQUEST, BOOTREPLY):
        raise NotDhcpError("no magic cookie, or neither a request nor a reply")
    if hlen > 16:
        raise HardwareLengthError(f"a hardware address of {hlen} octets")
    options: dict[int, bytes] = {}
    _read_options(cursor, options)
    overload = _overload(options)
    # The order in which the parts of a split option are joined: options, file, sname (RFC 3396 section 5).
    if overload & _FILE_OVERLOADED:
        _read_options(Cursor(file), options)
    if overload & _SNAME_OVERLOADED:
        _read_options(Cursor(sname), options)
    return Message(
        op=op,
        htype=htype,
        hops=hops,
        xid=xid,
        secs=secs,
        flags=flags,
        ciaddr=_address(ciaddr),
        yiaddr=_address(yiaddr),
        siaddr=_address(siaddr),
        giaddr=_address(giaddr),
        chaddr=chaddr[:hlen],
        sname=b"" if overload & _SNAME_OVERLOADED else sname.partition(b"\0")[0],
        file=b"" if overload & _FILE_OVERLOADED else file.partition(b"\0")[0],
        options=options,
    )


def encode(message: Message, *, minimum: int = MINIMUM_SIZE) -> bytes:
    """Write a message, padded with zero octets to `minimum`. Raises FieldOverflowError for what does not fit."""
    for name, value, size in (
        ("chaddr", message.chaddr, 16),
        ("sname", message.sname, 64),
        ("file", message.file, 128),
    ):
        if len(value) > size:
            raise FieldOverflowError(f"{name} has {len(value)} octets, more than {size}")
    try:
        header = _HEADER.pack(
            message.op,
            message.htype,
            len(message.chaddr),
            message.hops,
            message.xid,
            message.secs,
            message.flags,
            message.ciaddr.packed,
            message.yiaddr.packed,
            message.siaddr.packed,
            message.giaddr.packed,
            message.chaddr,
            message.sname,
            message.file,
        )
    except struct.error as error:
        raise FieldOverflowError(f"a number does not fit its field: {error}") from None
    return (header + _COOKIE + encode_options(message.options) + b"\xff").ljust(minimum, b"\0")


def encode_options(options: Mapping[int, bytes]) -> bytes:
    """The options without END, in the order given, 82 last. Raises FieldOverflowError for codes outside 1..254."""
    parts = [_encode_option(code, value) for code, value in options.items() if code != Option.RELAY_AGENT_INFORMATION]
    agent = options.get(Option.RELAY_AGENT_INFORMATION)
    if agent is not None:
        parts.append(_encode_option(Option.RELAY_AGENT_INFORMATION, agent))
    return b"".join(parts)


def encoded_size(value: bytes) -> int:
    """The octets that an option takes in a message, code and lengths included."""
    return len(value) + 2 * max(1, -(-len(value) // _CHUNK))


def _encode_option(code: int, value: bytes) -> bytes:
    if not 0 < code < 255:
        raise FieldOverflowError(f"{code} is no option code")
    if len(value) <= _CHUNK:
        return bytes((code, len(value))) + value
    chunks = [value[at : at + _CHUNK] for at in range(0, len(value), _CHUNK)]
    return b"".join(bytes((code, len(chunk))) + chunk for chunk in chunks)


def _read_options(cursor: Cursor, into: dict[int, bytes]) -> None:
    while cursor.remaining:
        code = cursor.u8()
        if code == 255:
            return
        if code == 0:
            continue
        value = cursor.take(cursor.u8())
        into[code] = into[code] + value if code in into else value


def _overload(options: dict[int, bytes]) -> int:
    value = options.pop(Option.OVERLOAD, None)
    if value is None:
        return 0
    if len(value) != 1 or value[0] not in (1, 2, 3):
        raise OverloadError(f"option 52 is {value.hex()}")
    return value[0]


def _address(packed: bytes) -> IPv4Address:
    return NONE if packed == _ZERO else IPv4Address(packed)
