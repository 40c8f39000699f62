"""DHCPv4 messages: octets <-> frozen `Message` (RFC 2131 section 2).

Reading takes everything a client may do: PAD, split options (RFC 3396) and options in `file` and `sname`
(overload, RFC 2132 section 9.3). Writing uses the plain form alone: boot firmware reads `file` where it stands, so
options never go there; an option of more than 255 octets is split; option 82 comes last (RFC 3046 section 2.1).
"""

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import NamedTuple

from libs.wire import FieldOverflowError, TruncatedError, WireError
from libs.wire.address import address_of
from libs.wire.dhcp_options import MessageType, Option, read_u8

BOOTREQUEST = 1
BOOTREPLY = 2
BROADCAST_FLAG = 0x8000
ETHERNET = 1  # hardware type (htype)
SERVER_PORT = 67
CLIENT_PORT = 68
MINIMUM_SIZE = 300  # octets: old boot ROMs ignore a shorter message (RFC 1542 section 2.1)
NONE: IPv4Address = address_of(bytes(4))

_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_START = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_FIXED = _START.size
_COOKIE = b"\x63\x82\x53\x63"
_FILE_OVERLOADED, _SNAME_OVERLOADED = 1, 2
_ZERO = bytes(4)
_CHUNK = 255
_PAD, _END, _LAST = int(Option.PAD), int(Option.END), int(Option.RELAY_AGENT_INFORMATION)
_TYPE_NAMES = {bytes((kind,)): kind.name.lower() for kind in MessageType}
_OCTET = [bytes((number,)) for number in range(256)]


class NotDhcpError(WireError):
    """The octets 236 to 239 are not the magic cookie 63.82.53.63, or `op` is neither request nor reply."""

    reason = "not_dhcp"


class HardwareLengthError(WireError):
    """`hlen` says that the hardware address is longer than its field of 16 octets."""

    reason = "bad_hlen"


class OverloadError(WireError):
    """Option 52 has a value other than 1, 2 or 3."""

    reason = "bad_overload"


class Message(NamedTuple):
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
    options: Mapping[int, bytes] = MappingProxyType({})

    @property
    def type(self) -> int | None:
        """Option 53; None in a BOOTP message. Raises WireError where it is not one octet."""
        value = self.options.get(Option.MESSAGE_TYPE)
        return None if value is None else read_u8(value)

    @property
    def type_name(self) -> str:
        """The message type in lower case, as logs and metrics name it; "other" for none or an unknown one."""
        return _TYPE_NAMES.get(self.options.get(Option.MESSAGE_TYPE, b""), "other")

    @property
    def wants_broadcast(self) -> bool:
        """The client cannot receive unicast before it has an address (RFC 2131 section 4.1)."""
        return bool(self.flags & BROADCAST_FLAG)


def decode(data: bytes) -> Message:
    """Read one datagram's payload. Raises WireError. A missing END is forgiven, a cut option is not."""
    if len(data) < _FIXED:
        raise TruncatedError(f"a message of {len(data)} octets, {_FIXED} wanted")
    (op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie) = (
        _START.unpack_from(data)
    )
    if cookie != _COOKIE or op not in (BOOTREQUEST, BOOTREPLY):
        raise NotDhcpError("no magic cookie, or neither a request nor a reply")
    if hlen > 16:
        raise HardwareLengthError(f"a hardware address of {hlen} octets")
    options: dict[int, bytes] = {}
    _read_options(data, _FIXED, options)
    overload = _overload(options) if Option.OVERLOAD in options else 0
    # The order in which the parts of a split option are joined: options, file, sname (RFC 3396 section 5).
    if overload & _FILE_OVERLOADED:
        _read_options(file, 0, options)
    if overload & _SNAME_OVERLOADED:
        _read_options(sname, 0, options)
    return Message(
        op=op,
        htype=htype,
        hops=hops,
        xid=xid,
        secs=secs,
        flags=flags,
        ciaddr=NONE if ciaddr == _ZERO else address_of(ciaddr),
        yiaddr=NONE if yiaddr == _ZERO else address_of(yiaddr),
        siaddr=NONE if siaddr == _ZERO else address_of(siaddr),
        giaddr=NONE if giaddr == _ZERO else address_of(giaddr),
        chaddr=chaddr[:hlen],
        sname=b"" if overload & _SNAME_OVERLOADED else sname.partition(b"\0")[0],
        file=b"" if overload & _FILE_OVERLOADED else file.partition(b"\0")[0],
        options=options,
    )


def encode(message: Message, *, minimum: int = MINIMUM_SIZE) -> bytes:
    """Write a message, padded with zero octets to `minimum`. Raises FieldOverflowError for what does not fit."""
    if len(message.chaddr) > 16 or len(message.sname) > 64 or len(message.file) > 128:
        _complain(message)
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


def _complain(message: Message) -> None:
    for name, value, size in (
        ("chaddr", message.chaddr, 16),
        ("sname", message.sname, 64),
        ("file", message.file, 128),
    ):
        if len(value) > size:
            raise FieldOverflowError(f"{name} has {len(value)} octets, more than {size}")


def encode_options(options: Mapping[int, bytes]) -> bytes:
    """The options without END, in the order given, 82 last. Raises FieldOverflowError for codes outside 1..254."""
    parts: list[bytes] = []
    for code, value in options.items():
        length = len(value)
        if code == _LAST:
            continue
        if length <= _CHUNK and 0 < code < _END:
            parts += (_OCTET[code], _OCTET[length], value)
        else:
            _encode_rare(code, value, parts)
    if _LAST in options:
        _encode_rare(_LAST, options[_LAST], parts)
    return b"".join(parts)


def encoded_size(value: bytes) -> int:
    """The octets that an option takes in a message, code and lengths included."""
    return len(value) + 2 * max(1, -(-len(value) // _CHUNK))


def _encode_rare(code: int, value: bytes, parts: list[bytes]) -> None:
    if not 0 < code < _END:
        raise FieldOverflowError(f"{code} is no option code")
    for at in range(0, len(value) or 1, _CHUNK):
        chunk = value[at : at + _CHUNK]
        parts += (_OCTET[code], _OCTET[len(chunk)], chunk)


def _read_options(data: bytes, at: int, into: dict[int, bytes]) -> None:
    # The one decoder that does without a Cursor: it reads some fifteen options of every datagram.
    end = len(data)
    while at < end:
        code = data[at]
        at += 1
        if code == _END:
            return
        if code == _PAD:
            continue
        start = at + 1
        if start > end:
            raise TruncatedError(f"option {code} has no length")
        at = start + data[at]
        if at > end:
            raise TruncatedError(f"option {code} wants {at - start} octets, {end - start} left")
        value = data[start:at]
        into[code] = into[code] + value if code in into else value


def _overload(options: dict[int, bytes]) -> int:
    value = options.pop(Option.OVERLOAD)
    if len(value) != 1 or value[0] not in (1, 2, 3):
        raise OverloadError(f"option 52 is {value.hex()}")
    return value[0]
