"""A TFTP client on real sockets, one a transfer, bound to the machine's address.

It reads until the socket is empty before the loop turns again: hundreds of machines share one process.
"""

import asyncio
import socket
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from libs.simulator.errors import TransferError
from libs.simulator.net.download import Download, Sink
from libs.simulator.net.link import Link
from libs.simulator.net.tftp_packets import error
from libs.simulator.net.tftp_receiver import Habit, Receiver, farewell
from libs.simulator.options import Timing
from libs.wire import WireError
from libs.wire.tftp import SERVER_PORT, ErrorCode

_DATAGRAM = 65536
_AT_ONCE = 64  # datagrams of one transfer before the others have their turn


@dataclass
class TftpClient:
    """One machine's client. Files come from whatever server each call names."""

    local: IPv4Address
    link: Link
    timing: Timing
    port: int = SERVER_PORT

    async def fetch(
        self, server: IPv4Address, path: str, habit: Habit, *, keep: int = 0, abort_at: float | None = None
    ) -> Download:
        """Fetch a file as a client with this habit does, keeping its content up to `keep` octets.

        Raises TransferError: missing, refused, timed_out, broken; aborted, when `abort_at` percent have arrived.
        """
        sink = Sink(path, keep, abort_at)
        try:
            if habit.probes:
                probe = Receiver(habit, Sink(path, 0), probe=True)
                sink.total = (await self._transfer(server, probe)).total
            return await self._transfer(server, Receiver(habit, sink))
        except WireError as error:
            raise TransferError(f"{path[:200]!r} is no name of a file: {error}", "broken") from error

    async def _transfer(self, server: IPv4Address, receiver: Receiver) -> Download:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.bind((str(self.local), 0))
            except OSError as error:
                raise TransferError(f"this host cannot use {self.local}: {error.strerror}", "broken") from error
            conversation = _Conversation(sock, (str(server), self.port), receiver, self.link, self.timing)
            retransmits = await conversation.run()
        self.link.received += receiver.sink.size
        return replace(
            receiver.sink.done(),
            retransmits=retransmits,
            blksize=receiver.blksize,
            windowsize=receiver.windowsize,
        )


class _Conversation:
    """Moves datagrams between a socket and a receiver, and sends again what was not answered."""

    def __init__(
        self, sock: socket.socket, server: tuple[str, int], receiver: Receiver, link: Link, timing: Timing
    ) -> None:
        self._sock = sock
        self._server = server
        self._receiver = receiver
        self._link = link
        self._timing = timing
        self._connected = False
        self._heard = 0.0
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> int:
        """The whole transfer; gives the number of retransmissions. Raises TransferError."""
        self._loop.add_reader(self._sock, self._readable)
        try:
            return await self._patiently()
        except TransferError as reason:
            if (packet := farewell(reason)) is not None:
                self._send(packet)
            raise
        except OSError as fault:
            raise TransferError(f"{self._receiver.sink.path}: {fault.strerror}", "broken") from fault
        finally:
            self._loop.remove_reader(self._sock)

    async def _patiently(self) -> int:
        retransmits, silent = 0, 0
        self._send(self._receiver.again)
        while not self._end.done():
            wait = self._timing.scaled(self._timing.tftp_timeout * min(2**silent, 4))
            began = self._loop.time()
            await asyncio.wait((self._end,), timeout=wait)
            if self._end.done():
                break
            if self._heard > began:
                silent = 0
                continue
            silent += 1
            if silent >= self._timing.tftp_tries:
                raise TransferError(f"{self._receiver.sink.path}: the TFTP server does not answer", "timed_out")
            retransmits += 1
            self._send(self._receiver.again)
        self._end.result()
        return retransmits

    def _readable(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                if self._end.done():
                    return
                self._receive()
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            return  # the server is away: it is silence, and ends as silence does
        except (TransferError, OSError) as error:
            if not self._end.done():
                self._end.set_exception(error)

    def _receive(self) -> None:
        datagram = self._sock.recv(_DATAGRAM) if self._connected else self._first()
        if datagram is None or self._link.loses():
            return
        self._heard = self._loop.time()
        answer = self._receiver.take(datagram)
        if answer is not None:
            self._send(answer)
        if self._receiver.finished and not self._end.done():
            self._end.set_result(None)

    def _first(self) -> bytes | None:
        """The first datagram of the server fixes its port for this transfer (RFC 1350 section 4)."""
        datagram, sender = self._sock.recvfrom(_DATAGRAM)
        if sender[0] != self._server[0]:
            self._sock.sendto(error(ErrorCode.UNKNOWN_TRANSFER_ID), sender)
            return None
        self._sock.connect(sender)
        self._connected = True
        return datagram

    def _send(self, packet: bytes) -> None:
        if self._link.loses():
            return
        try:
            if self._connected:
                self._sock.send(packet)
            else:
                self._sock.sendto(packet, self._server)
        except (BlockingIOError, ConnectionRefusedError):
            return  # lost on the way, as datagrams may be
