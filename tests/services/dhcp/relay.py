"""A relay agent on loopback: clients behind it speak DHCP to a real server over real sockets, without root."""

import asyncio
import socket
from ipaddress import IPv4Address

from libs.settings import HostPort
from libs.wire.dhcp import Message, decode, encode
from libs.wire.dhcp_options import MessageType, Option, RelayOption, write_sub_options
from tests.services.dhcp.lab import Options, by_number, named

GIADDR = IPv4Address("127.77.0.1")
PATIENCE = 10.0


class Relay:
    """One socket at giaddr, answered at its own port (RFC 8357). Replies are kept by transaction."""

    def __init__(self, server: HostPort) -> None:
        self._server = (server.host, server.port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((str(GIADDR), 0))
        self._xid = 0
        self.replies: dict[int, Message] = {}

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send_octets(self, data: bytes) -> None:
        """Anything at all."""
        self._socket.sendto(data, self._server)

    def send(self, kind: MessageType, mac: str, options: Options | None = None, ciaddr: str = "0.0.0.0") -> int:
        """A client's request, passed on; returns its transaction."""
        self._xid += 1
        agent = {RelayOption.CIRCUIT_ID: b"port 7", RelayOption.SOURCE_PORT: b""}
        request = Message(
            op=1,
            xid=self._xid,
            hops=1,
            chaddr=bytes.fromhex(mac.replace(":", "")),
            ciaddr=IPv4Address(ciaddr),
            giaddr=GIADDR,
            options={
                Option.MESSAGE_TYPE: bytes((kind,)),
                **by_number(options or {}),
                Option.RELAY_AGENT_INFORMATION: write_sub_options(by_number(agent)),
            },
        )
        self.send_octets(encode(request))
        return self._xid

    def collect(self) -> None:
        """Take the replies that have arrived."""
        while True:
            try:
                reply = decode(self._socket.recv(4096))
            except BlockingIOError:
                return
            self.replies[reply.xid] = reply

    async def answer(self, xid: int) -> Message:
        """The reply of a transaction. Raises TimeoutError where none comes."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while xid not in self.replies:
                reply = decode(await loop.sock_recv(self._socket, 4096))
                self.replies[reply.xid] = reply
        return self.replies.pop(xid)

    async def ask(self, kind: MessageType, mac: str, ciaddr: str = "0.0.0.0", **options: bytes) -> Message:
        """Send and wait for the reply; options by name."""
        return await self.answer(self.send(kind, mac, named(options), ciaddr))

    async def obtain(self, mac: str, **options: bytes) -> Message:
        """DISCOVER, REQUEST; the last reply."""
        offer = await self.answer(self.send(MessageType.DISCOVER, mac, named(options)))
        chosen = {"REQUESTED_ADDRESS": offer.yiaddr.packed, "SERVER_IDENTIFIER": offer.options[54]}
        return await self.answer(self.send(MessageType.REQUEST, mac, named(chosen | options)))
