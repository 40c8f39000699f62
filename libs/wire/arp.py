"""ARP for IPv4 on Ethernet (RFC 826): who uses an address on a link? The question is a probe by RFC 5227."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from libs.wire.cursor import Cursor

_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800
_REQUEST = 1


@dataclass(frozen=True, slots=True)
class Sighting:
    """A host that says by ARP that it has an address."""

    address: IPv4Address
    hardware: bytes


def probe(address: IPv4Address, hardware: bytes) -> bytes:
    """Ask for an address without claiming any: the sender's protocol address is zero (RFC 5227 section 2.1.1)."""
    return _PACKET.pack(_ETHERNET, _IPV4, 6, 4, _REQUEST, hardware, bytes(4), bytes(6), address.packed)


def read_sighting(data: bytes) -> Sighting | None:
    """Who sent an ARP packet, question or answer; None for a probe and for other protocols. Raises WireError."""
    htype, protocol, hlen, plen, _, hardware, address, _, _ = _PACKET.unpack(Cursor(data).take(_PACKET.size))
    if (htype, protocol, hlen, plen) != (_ETHERNET, _IPV4, 6, 4) or address == bytes(4):
        return None
    return Sighting(IPv4Address(address), hardware)
