"""A DHCP client (RFC 2131 section 3.1): DISCOVER, OFFER, REQUEST, ACK, with the patience of real firmware."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random

from libs.simulator.boot import Identity, Lease
from libs.simulator.errors import LeaseError
from libs.simulator.net.personalities import Personality
from libs.simulator.net.relay import Socket
from libs.simulator.options import Timing
from libs.wire import WireError
from libs.wire.dhcp import BOOTREQUEST, BROADCAST_FLAG, NONE, Message
from libs.wire.dhcp_options import (
    MessageType,
    Option,
    read_address,
    read_text,
    read_u32,
    write_architectures,
    write_machine_identifier,
    write_u8,
    write_u16,
)

_ROUNDS = 4  # how often a client begins again before it gives up; firmware does so only when it was refused


@dataclass
class DhcpClient:
    """One machine's client. `offered` is called when an offer has been chosen."""

    socket: Socket
    identity: Identity
    timing: Timing
    random: Random
    foreign_server: IPv4Address | None = None
    offered: Callable[[Message], Awaitable[None]] | None = None
    _began: float = 0.0

    async def lease(self, personality: Personality) -> Lease:
        """Get an address. Raises LeaseError where no server answers, refuses again and again, or names no boot file."""
        self.socket.clear()
        answer: Message | None = None
        for round_ in range(1, _ROUNDS + 1):
            self._began = asyncio.get_running_loop().time()
            xid = self.random.getrandbits(32)
            offer = await self._ask(self._discover(personality, xid), MessageType.OFFER)
            if offer is None:
                if not personality.boots and round_ < _ROUNDS:
                    continue
                raise LeaseError(f"{personality.name}: no DHCP server answers (PXE-E51)")
            if self.offered is not None:
                await self.offered(offer)
            request = self._request(personality, xid, offer)
            if self.foreign_server is not None:
                self.socket.send(request)
                raise LeaseError(f"{personality.name}: took the offer of another DHCP server, {self.foreign_server}")
            answer = await self._ask(request, MessageType.ACK, MessageType.NAK)
            if answer is not None and answer.type == MessageType.ACK:
                return _lease(answer, personality)
        what = "refuses the address that it offered" if answer else "offers an address and then answers no more"
        raise LeaseError(f"{personality.name}: the DHCP server {what}")

    async def _ask(self, request: Message, *wanted: MessageType) -> Message | None:
        """Send, and send again after each wait, until a wanted answer comes; None after the last wait."""
        loop = asyncio.get_running_loop()
        for wait in self.timing.dhcp_waits:
            self.socket.send(request)
            end = loop.time() + self.timing.scaled(wait)
            while (answer := await self.socket.receive(end - loop.time())) is not None:
                if answer.xid == request.xid and _kind(answer) in wanted and _usable(answer):
                    return answer
        return None

    def _discover(self, personality: Personality, xid: int) -> Message:
        return self._message(personality, xid, MessageType.DISCOVER, personality.sizes[0], {})

    def _request(self, personality: Personality, xid: int, offer: Message) -> Message:
        server = offer.options[Option.SERVER_IDENTIFIER]
        wanted: dict[int, bytes] = {
            Option.REQUESTED_ADDRESS: offer.yiaddr.packed,
            Option.SERVER_IDENTIFIER: self.foreign_server.packed if self.foreign_server else server,
        }
        return self._message(personality, xid, MessageType.REQUEST, personality.sizes[1], wanted)

    def _message(
        self, personality: Personality, xid: int, kind: MessageType, size: int, more: dict[int, bytes]
    ) -> Message:
        seconds = int(asyncio.get_running_loop().time() - self._began)
        options: dict[int, bytes] = {
            Option.MESSAGE_TYPE: write_u8(kind),
            **more,
            Option.MAXIMUM_MESSAGE_SIZE: write_u16(size),
            Option.PARAMETER_REQUEST_LIST: bytes(personality.parameters),
            **self._identifiers(personality),
            **personality.extra,
        }
        return Message(
            op=BOOTREQUEST,
            xid=xid,
            chaddr=bytes.fromhex(self.identity.mac.replace(":", "")),
            secs=min(seconds, 0xFFFF),
            flags=BROADCAST_FLAG if personality.broadcast else 0,
            options=options,
        )

    def _identifiers(self, personality: Personality) -> dict[int, bytes]:
        """The options by which a server knows what kind of client this is, and whose."""
        options: dict[int, bytes] = {}
        if personality.uuid:
            options[Option.CLIENT_MACHINE_IDENTIFIER] = write_machine_identifier(self.identity.uuid)
        if personality.architecture is not None:
            options[Option.CLIENT_ARCHITECTURE] = write_architectures([personality.architecture])
            options[Option.CLIENT_INTERFACE] = bytes((1, *personality.undi))
        if personality.vendor_class is not None:
            options[Option.VENDOR_CLASS] = personality.vendor_class.encode()
        if personality.user_class is not None:
            options[Option.USER_CLASS] = personality.user_class
        if personality.host_name and self.identity.name:
            options[Option.HOST_NAME] = self.identity.name.encode("ascii", "replace")[:63]
        if personality.client_id != "none":
            options[Option.CLIENT_IDENTIFIER] = self._client_id(personality)
        return options

    def _client_id(self, personality: Personality) -> bytes:
        mac = bytes.fromhex(self.identity.mac.replace(":", ""))
        if personality.client_id == "mac":
            return b"\x01" + mac
        # RFC 4361: type 255, an interface's number, and systemd's DUID-EN (enterprise 43793) of the machine.
        return b"\xff" + mac[-4:] + b"\x00\x02\x00\x00\xab\x11" + self.identity.uuid.bytes[:8]


def _kind(message: Message) -> int | None:
    try:
        return message.type
    except WireError:
        return None


def _usable(message: Message) -> bool:
    """An OFFER and an ACK bring an address and say whose they are; a NAK only the latter."""
    if len(message.options.get(Option.SERVER_IDENTIFIER, b"")) != 4:
        return False
    return _kind(message) == MessageType.NAK or message.yiaddr != NONE


def _lease(ack: Message, personality: Personality) -> Lease:
    server = read_address(ack.options[Option.SERVER_IDENTIFIER])
    named = ack.options.get(Option.BOOT_FILE, b"") or ack.file
    lifetime = ack.options.get(Option.LEASE_TIME, b"")
    if personality.boots and not read_text(named):
        raise LeaseError(f"{personality.name}: no boot file name received (PXE-E53)")
    return Lease(
        address=ack.yiaddr,
        server_identifier=server,
        next_server=ack.siaddr if ack.siaddr != NONE else server,
        boot_file=read_text(named),
        seconds=read_u32(lifetime) if len(lifetime) == 4 else 0,
        options=dict(ack.options),
    )
