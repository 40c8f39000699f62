"""A DHCP relay agent (RFC 1542 section 4, RFC 3046) with a port of its own choice (RFC 8357), so without root.

One socket serves many machines: what comes back is told apart by the client's hardware address. A machine sees
messages as they come off the wire, without option 82.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from libs.simulator.errors import SimulationError
from libs.simulator.net.link import Link
from libs.wire import WireError
from libs.wire.dhcp import BOOTREPLY, Message, decode, encode
from libs.wire.dhcp_options import Option, RelayOption, write_sub_options

Address = tuple[str, int]
_QUEUE = 32  # messages that a machine has not looked at; more are lost, as on a card


@dataclass
class Socket:
    """The machine's end of the relay agent's wire: DHCP messages in both directions."""

    relay: "Relay"
    chaddr: bytes
    link: Link
    queue: asyncio.Queue[Message] = field(default_factory=lambda: asyncio.Queue(_QUEUE))

    def send(self, message: Message) -> None:
        """Broadcast a message; the relay agent takes it to the server."""
        if not self.link.loses():
            self.relay.forward(message)

    async def receive(self, seconds: float) -> Message | None:
        """The next message for this machine, None where none comes in time."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                return await self.queue.get()
        except TimeoutError:
            return None

    def clear(self) -> None:
        """Forget what came while nobody listened: a machine that is off hears nothing."""
        while not self.queue.empty():
            self.queue.get_nowait()

    def deliver(self, message: Message) -> None:
        """A message arrives at the card."""
        if not self.queue.full() and not self.link.loses():
            self.queue.put_nowait(message)


class Relay(asyncio.DatagramProtocol):
    """The relay agent. Open it with `relay()`."""

    def __init__(self, server: Address, address: IPv4Address) -> None:
        self._server = server
        self._address = address
        self._sockets: dict[bytes, Socket] = {}
        self.transport: asyncio.DatagramTransport | None = None
        self.dropped = 0  # datagrams that were no answer for one of its machines

    def attach(self, chaddr: bytes, link: Link) -> Socket:
        """Connect a machine. Attaching the same hardware address again replaces the machine."""
        self._sockets[chaddr] = Socket(self, chaddr, link)
        return self._sockets[chaddr]

    def detach(self, chaddr: bytes) -> None:
        """Disconnect a machine."""
        self._sockets.pop(chaddr, None)

    def forward(self, message: Message) -> None:
        """From a client to the server: one hop more, our address, and where it came in (option 82)."""
        circuit = b"sim/" + message.chaddr.hex().encode()
        agent: dict[int, bytes] = {RelayOption.CIRCUIT_ID: circuit, RelayOption.SOURCE_PORT: b""}
        options: Mapping[int, bytes] = {**message.options, Option.RELAY_AGENT_INFORMATION: write_sub_options(agent)}
        if self.transport is not None:
            datagram = encode(message._replace(hops=message.hops + 1, giaddr=self._address, options=options))
            self.transport.sendto(datagram, self._server)

    def datagram_received(self, data: bytes, _addr: Address) -> None:
        """From the server to the client whose hardware address it names (RFC 1542 section 4.1.2)."""
        try:
            message = decode(data)
        except WireError:
            self.dropped += 1
            return
        socket = self._sockets.get(message.chaddr)
        if message.op != BOOTREPLY or message.giaddr != self._address or socket is None:
            self.dropped += 1
            return
        options = {code: value for code, value in message.options.items() if code != Option.RELAY_AGENT_INFORMATION}
        socket.deliver(message._replace(options=options))

    def error_received(self, _exc: Exception) -> None:
        """Nobody listens at the server's port: for a client that is silence, and it asks again."""


@asynccontextmanager
async def relay(server: IPv4Address, port: int, address: IPv4Address) -> AsyncIterator[Relay]:
    """A running relay agent at `address`. Raises SimulationError where this host cannot use the address."""
    loop = asyncio.get_running_loop()
    try:
        transport, agent = await loop.create_datagram_endpoint(
            lambda: Relay((str(server), port), address), local_addr=(str(address), 0)
        )
    except OSError as error:
        raise SimulationError(f"the relay agent cannot use {address} on this host: {error.strerror}") from error
    agent.transport = transport
    try:
        yield agent
    finally:
        transport.close()
