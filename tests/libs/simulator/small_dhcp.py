"""A small DHCP server for the clients' tests: one address for each hardware address, behind a relay agent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from libs.wire.dhcp import BOOTREPLY, NONE, Message, decode, encode
from libs.wire.dhcp_options import MessageType, Option, write_u8, write_u32
from libs.wire.pxe import Client, client_of

HOST = IPv4Address("127.0.0.1")
BASE = IPv4Address("127.88.0.10")


@dataclass
class SmallDhcp(asyncio.DatagramProtocol):
    """What it answers, and what it was asked."""

    boot_file: Callable[[Client], str] = lambda _: ""
    base: IPv4Address = BASE
    requests: list[Message] = field(default_factory=list)
    naks: int = 0  # how many REQUESTs are refused first
    ignored: int = 0  # how many messages are not answered first
    port: int = 0
    transport: asyncio.DatagramTransport | None = None
    _leases: dict[bytes, IPv4Address] = field(default_factory=dict)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = decode(data)
        self.requests.append(request)
        if self.ignored:
            self.ignored -= 1
            return
        if request.type == MessageType.REQUEST and request.options.get(Option.SERVER_IDENTIFIER) != HOST.packed:
            return
        assert self.transport is not None
        self.transport.sendto(encode(self._answer(request)), addr)

    def of(self, kind: MessageType) -> list[Message]:
        """The requests of a type."""
        return [request for request in self.requests if request.type == kind]

    def _answer(self, request: Message) -> Message:
        kind = MessageType.OFFER if request.type == MessageType.DISCOVER else MessageType.ACK
        if kind is MessageType.ACK and self.naks:
            self.naks -= 1
            kind = MessageType.NAK
        address = self._leases.setdefault(request.chaddr, self.base + len(self._leases))
        file = self.boot_file(client_of(request)).encode()
        options = {
            Option.MESSAGE_TYPE: write_u8(kind),
            Option.SERVER_IDENTIFIER: HOST.packed,
            Option.LEASE_TIME: write_u32(3600),
            Option.SUBNET_MASK: IPv4Address("255.255.0.0").packed,
            Option.BOOT_FILE: file + b"\0",
            Option.RELAY_AGENT_INFORMATION: request.options[Option.RELAY_AGENT_INFORMATION],
        }
        return Message(
            op=BOOTREPLY,
            xid=request.xid,
            chaddr=request.chaddr,
            giaddr=request.giaddr,
            flags=request.flags,
            yiaddr=NONE if kind is MessageType.NAK else address,
            siaddr=HOST,
            file=file,
            options={int(code): value for code, value in options.items()},
        )


@asynccontextmanager
async def small_dhcp(boot_file: Callable[[Client], str] = lambda _: "") -> AsyncIterator[SmallDhcp]:
    """A running server on a free port."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SmallDhcp(boot_file), local_addr=(str(HOST), 0)
    )
    server.transport = transport
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
