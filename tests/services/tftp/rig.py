"""A TFTP server in the test's own loop, on real sockets, and a client of single datagrams to try its rules."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from libs.events import Event, Fetched, TransferFailed
from libs.settings import HostPort
from libs.wire.tftp import Ack, Data, OptionAck, Packet, ReadRequest, decode
from services.tftp.files import Library
from services.tftp.fleet import Fleet
from services.tftp.limits import Limits
from services.tftp.listener import listen
from services.tftp.reports import Reports
from services.tftp.server import Server
from services.tftp.sources import Sources
from services.tftp.transmit import Way
from tests.support.waiting import PATIENCE, until

Address = tuple[str, int]


def octets(size: int) -> bytes:
    """Octets in which no block is like its neighbour."""
    return bytes((at * 7 + at // 251) & 0xFF for at in range(size))


@dataclass
class Rig:
    """A running server: its root folder, what it emitted, its figures."""

    folder: Path
    address: Address
    fleet: Fleet
    server: Server
    registry: CollectorRegistry
    events: list[Event] = field(default_factory=list)

    def write(self, path: str, content: bytes) -> bytes:
        """A file that is served under this path; gives the content back."""
        place = self.folder / ("images" if path.startswith("images/") else "loaders") / path.removeprefix("images/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, (0, 0))  # long ago: old kernels do not tell two changes within one clock tick apart
        return content

    @property
    def fetched(self) -> list[Fetched]:
        """Every transfer that completed."""
        return [event for event in self.events if isinstance(event, Fetched)]

    @property
    def failed(self) -> list[TransferFailed]:
        """Every transfer that did not."""
        return [event for event in self.events if isinstance(event, TransferFailed)]

    async def emitted(self, count: int = 1) -> list[Event]:
        """All events, once there are so many."""
        await until(lambda: len(self.events) >= count, f"{count} events")
        assert len(self.events) == count, self.events
        return self.events

    async def idle(self) -> None:
        """Until no transfer is under way."""
        await until(lambda: self.figure("kickfleet_tftp_transfers_active") == 0, "the end of all transfers")

    def figure(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where it was never counted."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def lease(self, ip: str, mac: str, machine: str | None) -> None:
        """dhcp gave this address to a machine."""
        expires = datetime.now(UTC) + timedelta(hours=1)
        lease = {"ip": ip, "mac": mac, "subnet": "lab", "machine": machine, "expires": expires.isoformat()}
        self.fleet.lease_changed(ip, lease)


@contextlib.asynccontextmanager
async def rig(
    folder: Path, *, host: str = "127.0.0.1", limits: Limits | None = None, way: Way | None = None
) -> AsyncIterator[Rig]:
    """A server with `folder`/loaders and `folder`/images."""
    events: list[Event] = []
    registry = CollectorRegistry()
    fleet = Fleet(lambda: datetime.now(UTC))
    sources = Sources(fleet, Library(), images=folder / "images", folders=[folder / "loaders"])
    sock = listen(HostPort(host, 0))
    address: Address = sock.getsockname()[:2]
    server = Server(sock, sources, Reports(events.append, structlog.get_logger(), registry), limits, way)
    server.start()
    try:
        yield Rig(folder, address, fleet, server, registry, events)
    finally:
        server.close()


class Peer:
    """A client that sends and hears single datagrams."""

    def __init__(self, server: Address, host: str = "127.0.0.1") -> None:
        self.server = server
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((host, 0))
        self.transfer: Address = server  # where the last datagram came from

    async def send(self, packet: Packet | bytes, to: Address | None = None) -> None:
        """To the port for requests where it is one, else to the transfer."""
        raw = packet if isinstance(packet, bytes) else packet.encode()
        target = to or (self.server if raw[:2] in (b"\0\1", b"\0\2") else self.transfer)
        await asyncio.get_running_loop().sock_sendto(self.sock, raw, target)

    async def hear(self) -> Packet:
        """The next datagram."""
        raw, sender = await asyncio.wait_for(
            asyncio.get_running_loop().sock_recvfrom(self.sock, 70000), timeout=PATIENCE
        )
        self.transfer = sender[:2]
        return decode(raw)

    async def ask(self, path: str, mode: str = "octet", **options: object) -> Packet:
        """Request a file; the first packet of the answer."""
        await self.send(ReadRequest(path, mode, {name: str(value) for name, value in options.items()}))
        return await self.hear()

    async def fetch(self, path: str, mode: str = "octet", **options: object) -> bytes:
        """A whole file, politely."""
        packet = await self.ask(path, mode, **options)
        blksize, windowsize = 512, 1
        if isinstance(packet, OptionAck):
            blksize = int(packet.options.get("blksize", 512))
            windowsize = int(packet.options.get("windowsize", 1))
            await self.send(Ack(0))
            packet = await self.hear()
        received, block = bytearray(), 0
        while isinstance(packet, Data):
            if packet.block == (block + 1) & 0xFFFF:
                block += 1
                received += packet.payload
                done = len(packet.payload) < blksize
                if done or block % windowsize == 0:
                    await self.send(Ack(block & 0xFFFF))
                if done:
                    return bytes(received)
            packet = await self.hear()
        raise AssertionError(f"the server said {packet}")

    def close(self) -> None:
        """Give the socket back."""
        self.sock.close()


@contextlib.contextmanager
def peer(server: Rig | Address, host: str = "127.0.0.1") -> Iterator[Peer]:
    """A client of a server."""
    client = Peer(server.address if isinstance(server, Rig) else server, host)
    try:
        yield client
    finally:
        client.close()
