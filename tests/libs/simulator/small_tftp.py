"""A small TFTP server for the client's tests: blksize, windowsize, tsize, one socket a transfer, and a record."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.wire.tftp import Ack, Data, Error, ErrorCode, OptionAck, ReadRequest, decode, option
from tests.support.waiting import until

PATIENCE = 0.1  # seconds before a window is sent again


@dataclass
class Transfer:
    """One request and how it ended."""

    path: str
    options: Mapping[str, str]
    client: str
    outcome: str = "open"  # whole | missing | error <code> | open


@dataclass
class SmallTftp:
    """What it serves, and what it was asked."""

    files: dict[str, bytes]
    transfers: list[Transfer] = field(default_factory=list)
    grants: dict[str, str] = field(default_factory=dict)  # instead of what was asked
    deaf: bool = False
    port: int = 0

    def asked(self) -> list[str]:
        """The paths in the order of the requests."""
        return [transfer.path for transfer in self.transfers]

    async def settled(self) -> None:
        """Wait until no transfer is under way."""
        await until(lambda: all(one.outcome != "open" for one in self.transfers), "every transfer ends")

    def whole(self) -> list[str]:
        """The paths that arrived whole, in the order of the requests."""
        return [transfer.path for transfer in self.transfers if transfer.outcome == "whole"]


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, server: SmallTftp, host: str) -> None:
        self.server = server
        self.host = host
        self.tasks: dict[tuple[str, int, str], asyncio.Task[None]] = {}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = decode(data)
        if not isinstance(packet, ReadRequest) or self.server.deaf:
            return
        key = (*addr, packet.path)
        if key not in self.tasks or self.tasks[key].done():
            self.tasks[key] = asyncio.get_running_loop().create_task(_serve(self.server, packet, addr, self.host))


class _Channel(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        self.queue.put_nowait(data)


@asynccontextmanager
async def small_tftp(files: dict[str, bytes], host: str = "127.0.0.1") -> AsyncIterator[SmallTftp]:
    """A running server on a free port."""
    server = SmallTftp(files)
    transport, listener = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Listener(server, host), local_addr=(host, 0)
    )
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
        for task in listener.tasks.values():
            task.cancel()
        await asyncio.gather(*listener.tasks.values(), return_exceptions=True)


async def _serve(server: SmallTftp, request: ReadRequest, client: tuple[str, int], host: str) -> None:
    transfer = Transfer(request.path, dict(request.options), client[0])
    server.transfers.append(transfer)
    transport, channel = await asyncio.get_running_loop().create_datagram_endpoint(
        _Channel, local_addr=(host, 0), remote_addr=client
    )
    try:
        content = server.files.get(request.path.lstrip("/"))
        if content is None:
            transport.sendto(Error(ErrorCode.FILE_NOT_FOUND, "no such file").encode())
            transfer.outcome = "missing"
            return
        transfer.outcome = await _send(transport, channel, server, request, content)
    finally:
        transport.close()


async def _send(
    transport: asyncio.DatagramTransport, channel: _Channel, server: SmallTftp, request: ReadRequest, content: bytes
) -> str:
    granted = {name: found[1] for name in ("blksize", "windowsize") if (found := option(request.options, name))}
    if option(request.options, "tsize"):
        granted["tsize"] = str(len(content))
    granted |= {name: value for name, value in server.grants.items() if name in granted}
    if granted:
        answer = await _ask(channel, transport, [OptionAck(granted).encode()])
        if not isinstance(answer, Ack):
            return f"error {answer.code}"
    size, window = int(granted.get("blksize", 512)), int(granted.get("windowsize", 1))
    blocks = [
        Data((number + 1) & 0xFFFF, content[number * size : (number + 1) * size]).encode()
        for number in range(len(content) // size + 1)
    ]
    at = 0
    while at < len(blocks):
        answer = await _ask(channel, transport, blocks[at : at + window])
        if not isinstance(answer, Ack):
            return f"error {answer.code}"
        at += (answer.block - at) & 0xFFFF if (answer.block - at) & 0xFFFF <= window else 0
    return "whole"


async def _ask(channel: _Channel, transport: asyncio.DatagramTransport, packets: list[bytes]) -> Ack | Error:
    for _ in range(50):
        for packet in packets:
            transport.sendto(packet)
        try:
            async with asyncio.timeout(PATIENCE):
                answer = decode(await channel.queue.get())
        except TimeoutError:
            continue
        if isinstance(answer, Ack | Error):
            return answer
    return Error(0, "the client is gone")
