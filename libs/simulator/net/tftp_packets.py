"""The packets of a TFTP client by tftpy's packet types.

The servers under test read and write packets by `libs.wire.tftp`. A client with another codec finds out where that
one is wrong; two ends with the same mistake would understand each other.
"""

import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tftpy import TftpException
from tftpy.TftpPacketFactory import TftpPacketFactory
from tftpy.TftpPacketTypes import TftpPacketACK, TftpPacketERR, TftpPacketOACK, TftpPacketRRQ

from libs.wire.tftp import TextError

logging.getLogger("tftpy").setLevel(logging.CRITICAL)  # what a server refuses is told by the machine itself

_MALFORMED = (TftpException, struct.error, UnicodeError)
_factory = TftpPacketFactory()


@dataclass(frozen=True, slots=True)
class Granted:
    """OACK: the options that the server grants, names in lower case."""

    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """ERROR: the server ended the transfer."""

    code: int
    message: str


def read_request(path: str, options: Mapping[str, str]) -> bytes:
    """RRQ in mode octet. Raises TextError for a name that is empty, not ASCII, or holds a zero octet."""
    if not path or "\0" in path:
        raise TextError("a name is empty or holds a zero octet")
    packet = TftpPacketRRQ()
    packet.filename, packet.mode, packet.options = path, "octet", dict(options)
    try:
        return _octets(packet.encode())
    except UnicodeEncodeError:
        raise TextError("a text is not ASCII") from None


def acknowledgement(block: int) -> bytes:
    """ACK of a block, 0 to 65535."""
    packet = TftpPacketACK()
    packet.blocknumber = block
    return _octets(packet.encode())


def error(code: int) -> bytes:
    """ERROR with one of RFC 1350's codes or 8 (RFC 2347), and its usual text; code 0 has none."""
    packet = TftpPacketERR()
    packet.errorcode = code
    packet.errmsgs[0] = b"User aborted the transfer"
    return _octets(packet.encode())


def answer(datagram: bytes) -> Granted | Refused | None:
    """What a server said that is no DATA; None where it is neither OACK nor ERROR, or malformed."""
    try:
        packet = _factory.parse(datagram)
    except _MALFORMED:
        return None
    if isinstance(packet, TftpPacketOACK):
        return Granted({str(name).lower(): str(value) for name, value in packet.options.items()})
    if isinstance(packet, TftpPacketERR):
        return Refused(int(packet.errorcode), (packet.errmsg or b"").decode(errors="replace"))
    return None


def _octets(packet: object) -> bytes:
    return bytes(packet.buffer)  # type: ignore[attr-defined]
