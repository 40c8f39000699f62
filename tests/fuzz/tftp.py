"""A request and what a client sends after it: read by the decoder, negotiated, answered by the transfer."""

from pathlib import Path

from libs.wire import WireError
from libs.wire.tftp import Ack, ReadRequest, decode
from services.tftp.content import TextContent
from services.tftp.errors import RefusedError
from services.tftp.negotiate import negotiate
from services.tftp.paths import normalise
from services.tftp.session import Burst, Transfer

GOLDEN = Path(__file__).parents[1] / "libs/wire/golden/tftp-requests.txt"
CONTENT = TextContent(bytes(range(256)) * 40)
ROOM = 1468
MOST_IN_FLIGHT = 64 * (ROOM + 4) + 64
STEPS = 40


def seeds() -> list[bytes]:
    """Requests of real loaders, alone and with acknowledgements behind."""
    requests = [bytes.fromhex(line.strip()) for line in GOLDEN.read_text().splitlines() if line.startswith("  ")]
    answers = b"".join(b"\x04" + Ack(block).encode() for block in range(12))
    return [_parcel(request) for request in requests] + [_parcel(request) + answers for request in requests]


def _parcel(datagram: bytes) -> bytes:
    return len(datagram).to_bytes(1) + datagram if len(datagram) < 256 else b""


def run(data: bytes) -> bool:
    """Parcels: the length of a datagram and its octets; length 0 lets the next deadline pass."""
    parcels = Parcels(data)
    request = _request(next(parcels, b""))
    if request is None:
        for octets in parcels:
            _request(octets)
        return False
    terms = negotiate(request.options, size=CONTENT.size, room=ROOM)
    assert 8 <= terms.blksize <= ROOM
    assert set(terms.granted) <= set(request.options)
    _converse(Transfer(CONTENT, terms, 0.0), parcels)
    return True


def _converse(transfer: Transfer, parcels: "Parcels") -> None:
    now = 0.0
    _check(transfer, transfer.begin(now))
    for octets in parcels:
        if transfer.ending:
            return
        if octets:
            now += 0.01
            burst = transfer.receive(octets, now)
        else:
            now = max(now, transfer.deadline)
            burst = transfer.expire(now)
        _check(transfer, burst)


def _check(transfer: Transfer, burst: Burst) -> None:
    assert transfer.confirmed or len(burst) <= 1, "more than one packet to a client that answered nothing"
    assert sum(map(len, burst)) <= MOST_IN_FLIGHT
    assert 0 <= transfer.delivered <= CONTENT.size
    for octets in burst:
        decode(octets)


class Parcels:
    """The datagrams of an input, a bounded number."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._left = data, 0, STEPS

    def __iter__(self) -> "Parcels":
        return self

    def __next__(self) -> bytes:
        if self._at >= len(self._data) or not self._left:
            raise StopIteration
        length = self._data[self._at]
        start, self._at = self._at + 1, self._at + 1 + length
        self._left -= 1
        return self._data[start : self._at]


def _request(octets: bytes) -> ReadRequest | None:
    try:
        packet = decode(octets)
        if isinstance(packet, ReadRequest):
            assert ".." not in normalise(packet.path).split("/")
            return packet
    except (WireError, RefusedError):
        return None
    return None
