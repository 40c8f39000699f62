"""Any datagram at port 67: read by the decoder, answered by the engine, which goes on through all of them."""

from ipaddress import IPv4Address
from pathlib import Path

from libs.wire.dhcp import decode, encode
from libs.wire.dhcp_options import MessageType, Option
from tests.services.dhcp.lab import (
    EVERYONE,
    MAC,
    OTHER,
    PXE,
    SERVER,
    STRANGER,
    Lab,
    far_subnet,
    machine,
    message,
    subnet,
)

GOLDEN = Path(__file__).parents[1] / "libs/wire/golden"
COOKIE = bytes((99, 130, 83, 99))
ROOM = 110  # addresses of both pools
FRESH = 20_000  # inputs after which a new engine begins

_lab: Lab | None = None
_inputs = 0


def seeds() -> list[bytes]:
    """Packets of real firmware, and one of each type from a machine of the fleet."""
    found = []
    for path in sorted(GOLDEN.glob("*.hex")):
        lines = path.read_text().splitlines()
        found.append(bytes.fromhex("".join(line for line in lines if not line.startswith("#"))))
    wanted = {Option.REQUESTED_ADDRESS: IPv4Address("10.77.0.100").packed, Option.SERVER_IDENTIFIER: SERVER.packed}
    for kind in MessageType:
        for mac in (MAC, STRANGER):
            found.append(encode(message(kind, mac, {**wanted, Option.VENDOR_CLASS: PXE})))
    return found


def run(data: bytes) -> bool:
    """One datagram, by broadcast or to our own address, some seconds after the one before."""
    lab = _current()
    chosen = data[-1] if data else 0
    lab.now += chosen & 63
    destination = SERVER if chosen & 64 else EVERYONE
    batch = lab.engine.handle([lab.datagram(data, destination=destination)], lab.now)
    assert not batch.faults, batch.faults
    assert len(lab.leases) <= ROOM
    assert lab.leases.offers <= ROOM
    assert len(batch.replies) <= 1
    for reply in batch.replies:
        assert _is_legitimate(data), "an answer to an invalid packet"
        assert decode(reply.data).op == 2
        assert len(reply.data) <= 1472
    return bool(batch.replies)


def _is_legitimate(data: bytes) -> bool:
    """What may be answered at all, told by the octets themselves (RFC 2131 section 2)."""
    op, _, hlen, hops = data[:4]
    chaddr = data[28 : 28 + hlen]
    return (
        len(data) >= 240
        and op == 1
        and 1 <= hlen <= 16
        and hops <= 16
        and data[236:240] == COOKIE
        and any(chaddr)
        and not (data[1] == 1 and chaddr[0] & 1)
    )


def _current() -> Lab:
    global _lab, _inputs
    _inputs += 1
    if _lab is None or _inputs % FRESH == 0:
        _lab = Lab().declare(
            subnet(unknown="lease", domain="d" * 200),
            far_subnet(unknown="lease"),
            machine(netboot="install"),
            machine("node02", OTHER, address=IPv4Address("10.77.0.50")),
        )
    return _lab
