"""An IPv4 packet with a UDP datagram in it (RFC 791, RFC 768), for a client that has no address yet.

Such a client answers no ARP request, so the system's own UDP sockets cannot reach it: the packet is made here and
given to a packet socket, together with the client's hardware address.
"""

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from libs.wire import FieldOverflowError

_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_VERSION_AND_WORDS = 0x45
_PROTOCOL_UDP = 17
_TIME_TO_LIVE = 64
_DO_NOT_FRAGMENT = 0x4000


class Endpoint(NamedTuple):
    """An address and a UDP port."""

    address: IPv4Address
    port: int


def udp_packet(payload: bytes, source: Endpoint, destination: Endpoint) -> bytes:
    """The packet, both checksums set. Raises FieldOverflowError for more payload than a packet holds."""
    length = _UDP.size + len(payload)
    if _IP.size + length > 0xFFFF:
        raise FieldOverflowError(f"{len(payload)} octets do not fit one packet")
    addresses = source.address.packed + destination.address.packed
    pseudo_header = addresses + struct.pack("!HH", _PROTOCOL_UDP, length)
    ports = (source.port, destination.port, length)
    # A sum of zero is sent as all ones: zero says that there is none.
    udp_sum = checksum(pseudo_header + _UDP.pack(*ports, 0) + payload) or 0xFFFF
    total = _IP.size + length
    start = (_VERSION_AND_WORDS, 0, total, 0, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, _PROTOCOL_UDP)
    ends = (source.address.packed, destination.address.packed)
    header = _IP.pack(*start, checksum(_IP.pack(*start, 0, *ends)), *ends)
    return header + _UDP.pack(*ports, udp_sum) + payload


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words."""
    if len(octets) % 2:
        octets += b"\0"
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
