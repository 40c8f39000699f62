"""The server: requests in, transfers out. Everything runs in one event loop, without a task or timer a transfer."""

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from libs.wire import WireError
from libs.wire.tftp import Error, ReadRequest, Request, WriteRequest, decode
from services.tftp.channel import Channel, Job
from services.tftp.content import Content, ContentChangedError, TextContent, netascii
from services.tftp.deadlines import Deadlines
from services.tftp.errors import ChangingError, ModeError, NotServedError, TooLargeForTextError, WritingError
from services.tftp.lane import Lanes
from services.tftp.limits import Limits, Recent
from services.tftp.listener import Arrival, answer, receive, room
from services.tftp.negotiate import negotiate
from services.tftp.paths import normalise
from services.tftp.reports import Reports
from services.tftp.session import End, Ending, Transfer
from services.tftp.sources import Sources
from services.tftp.transmit import Address, Way

REQUESTS_AT_ONCE = 64  # before running transfers have their turn
LARGEST_TEXT = 8 * 1024 * 1024  # octets, in netascii
ECHO = 5.0  # seconds after a transfer in which a copy of its request may still be under way

Key = tuple[Address, str]


class Server:
    """Serves files: one socket for requests, and a few on each address that was asked, which transfers share."""

    def __init__(
        self,
        sock: socket.socket,
        sources: Sources,
        reports: Reports,
        limits: Limits | None = None,
        way: Way | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._sources = sources
        self._reports = reports
        self._limits = limits or Limits()
        self._deadlines: Deadlines[Channel] = Deadlines(self._loop, Channel.expire)
        self._lanes = Lanes(self._loop, lambda: reports.dropped("stray"), way)
        self._channels: dict[Key, Channel] = {}
        self._of_address: dict[str, dict[Key, Channel]] = {}
        self._unproved: deque[Channel] = deque()  # oldest first; those that have answered since are passed over
        self._completed = Recent(ECHO)
        reports.watch(lambda: len(self._channels))

    def start(self) -> None:
        """Begin to serve."""
        self._loop.add_reader(self._sock, self._requests)

    def close(self) -> None:
        """End all transfers and close the socket. Closing twice is harmless."""
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for channel in list(self._channels.values()):
            channel.say("the server stops")
            self._end(channel, Ending(End.ABORTED, "the service stopped"))
        self._deadlines.close()

    def running(self) -> Iterable[Channel]:
        """The transfers that are under way."""
        return self._channels.values()

    def _requests(self) -> None:
        for _ in range(REQUESTS_AT_ONCE):
            arrival = receive(self._sock)
            if arrival is None:
                return
            try:
                self._take(arrival)
            except OSError as error:
                self._reports.host_fault(arrival.ip, error, self._loop.time())

    def _take(self, arrival: Arrival) -> None:
        """One datagram on the port for requests. Raises OSError where this host is at fault."""
        if not arrival.local or not arrival.client[1]:
            self._reports.dropped("not_unicast")
            return
        try:
            packet = decode(arrival.raw)
        except WireError as error:
            self._reports.dropped(error.reason)
            return
        if not isinstance(packet, Request):
            self._reports.dropped("no_request")
            return
        try:
            self._serve(arrival, packet)
        except NotServedError as error:
            who = self._sources.who(packet.path, arrival.ip)
            self._reports.not_served(arrival.client, arrival.ip, packet.path, who, error, self._loop.time())
            answer(self._sock, arrival, Error(error.code, error.text).encode())

    def _serve(self, arrival: Arrival, request: ReadRequest | WriteRequest) -> None:
        """Raises NotServedError with what the client is to be told."""
        if isinstance(request, WriteRequest):
            raise WritingError
        if request.mode not in ("octet", "netascii"):
            raise ModeError
        key = (arrival.client, normalise(request.path))
        if channel := self._channels.get(key):
            if channel.job.same(request) and not channel.transfer.stale(self._loop.time()):
                channel.repeat()
                return
            channel.transfer.replace()
            self._changed(channel)
        if self._has_room(arrival.ip):
            self._open(key, arrival, request)
        else:
            self._reports.dropped("busy")

    def _open(self, key: Key, arrival: Arrival, request: ReadRequest) -> None:
        found = self._sources.find(key[1], arrival.ip)
        with ExitStack() as undo:
            undo.callback(lambda: found.content.close())
            if request.mode == "netascii":
                found = replace(found, content=_as_text(found.content))
            terms = negotiate(request.options, size=found.content.size, room=room(self._sock, arrival))
            lane, name = self._lanes.join(arrival)
            undo.pop_all()
        now = self._loop.time()
        job = Job(request, key[1], found, arrival.client, arrival.ip, self._completed.has(key, now))
        client = arrival.client_on(lane.sock)
        transfer = Transfer(found.content, terms, now)
        channel = Channel(job, transfer, lane, name, client, self._loop.time, self._changed)
        self._channels[key] = channel
        self._of_address.setdefault(arrival.ip, {})[key] = channel
        self._unproved.append(channel)
        channel.begin()

    def _has_room(self, ip: str) -> bool:
        """Whether one more transfer fits. Clients that never answered make room for those that may."""
        while self._unproved and not _is_unproved(self._unproved[0]):
            self._unproved.popleft()
        same = self._of_address.get(ip, {})
        if len(same) >= self._limits.per_address:
            return self._evict(next(filter(_is_unproved, same.values()), None))
        if len(self._channels) >= self._limits.total:
            return self._evict(next(filter(_is_unproved, self._unproved), None))
        return True

    def _evict(self, channel: Channel | None) -> bool:
        if channel:
            self._end(channel, Ending(End.EVICTED))
        return channel is not None

    def _changed(self, channel: Channel) -> None:
        if channel.transfer.ending:
            self._end(channel, channel.transfer.ending)
        else:
            self._deadlines.watch(channel)

    def _end(self, channel: Channel, ending: Ending) -> None:
        channel.transfer.ending = ending
        key, ip, now = (channel.job.client, channel.job.path), channel.job.ip, self._loop.time()
        if self._channels.get(key) is not channel:
            return  # it ended while its datagrams were leaving
        del self._channels[key]
        del self._of_address[ip][key]
        if not self._of_address[ip]:
            del self._of_address[ip]
        channel.close()
        if ending.how is End.COMPLETED:
            self._completed.add(key, now)
        self._reports.finished(channel, now)


def _is_unproved(channel: Channel) -> bool:
    return not channel.transfer.confirmed and channel.transfer.ending is None


def _as_text(content: Content) -> Content:
    """The content as netascii, whole: its size is known only then. Raises NotServedError."""
    if content.size > LARGEST_TEXT:
        raise TooLargeForTextError
    try:
        octets = content.read(0, content.size)
    except ContentChangedError:
        raise ChangingError from None
    content.close()
    return TextContent(netascii(octets))
