"""The shell around the engine: sockets in, disk, events and sockets out, in that order.

At each wake-up everything that waits in the sockets is one batch: one transaction with one sync stores the leases of
all of it, and while that lasts the kernel's buffer gathers the next batch. Storing before answering costs a storm
of machines hardly more than a single one.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address

from structlog.typing import FilteringBoundLogger

from libs.events import Event
from libs.settings import HostPort
from libs.wire.arp import Sighting
from libs.wire.dhcp_options import MessageType
from services.dhcp.arp import Prober
from services.dhcp.engine import Batch, Engine
from services.dhcp.exchange import Datagram, Reply
from services.dhcp.leases import Lease
from services.dhcp.metrics import Metrics
from services.dhcp.probing import Probe
from services.dhcp.reports import OncePerInterval
from services.dhcp.sockets import NO_FRAMES, Sender, drain, open_udp
from services.dhcp.store import StoreError

COMPLAINT_SECONDS = 30.0
BOOT_PORT_ABOVE = 4011 - 67  # the boot port lies so far above the server port, wherever that is


class Server:
    """Serves one port: on the listening address for relays and unicast, and on each interface that subnets name.

    `save` stores leases durably or raises StoreError; `record` takes events down; `told` hears of stored leases, and
    `share` of what other servers are to know or to agree to.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        save: Callable[[Iterable[Lease]], None],
        record: Callable[[Sequence[Event]], None],
        told: Callable[[Iterable[Lease]], None],
        share: Callable[[Batch], None] = lambda _: None,
        ready: Callable[[str, bool, str], None],
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._engine = engine
        self._save = save
        self._unsaved: list[Lease] = []
        self._record = record
        self._told = told
        self._share = share
        self._ready = ready
        self._metrics = metrics
        self._log = log
        self._main: socket.socket | None = None
        self._sender: Sender | None = None
        self._interfaces: dict[str, tuple[int, socket.socket]] = {}
        self._prober = Prober(self._heard)
        self._alarm: asyncio.TimerHandle | None = None
        self._missing: frozenset[str] = frozenset()
        self._complaints = OncePerInterval(COMPLAINT_SECONDS, 64)

    # --- life -----------------------------------------------------------------------------------------------

    def open(self, listen: HostPort) -> HostPort:
        """Begin to listen; returns where. Raises OSError: the port is in use or not permitted, the address not ours."""
        # Sockets with SO_REUSEADDR share a port with anybody's; this one tells whether it is free. On the loopback
        # device it minds nobody who keeps to another interface (a hypervisor's own DHCP server on its bridge).
        with contextlib.closing(open_udp(listen.host, listen.port, interface="lo", shared=False)) as probe:
            port = probe.getsockname()[1]
        self._main = open_udp(listen.host, port)
        self._sender = Sender(self._main, port)
        if not self._sender.can_frame:
            self._log.warning(NO_FRAMES)
        self._ready("packet socket", True, "" if self._sender.can_frame else NO_FRAMES)
        asyncio.get_running_loop().add_reader(self._main, self._wake)
        return HostPort(listen.host, port)

    def close(self) -> None:
        """Stop listening."""
        for name in list(self._interfaces):
            self._close_interface(name)
        self._prober.rest()
        if self._alarm:
            self._alarm.cancel()
        if self._main:
            asyncio.get_running_loop().remove_reader(self._main)
            self._main.close()
        if self._sender:
            self._close_boot_port(self._sender)
            self._sender.close()

    @property
    def can_probe(self) -> bool:
        """Whether this host may send and hear ARP: the capability is that of frames."""
        return self._sender is not None and self._sender.can_frame

    # --- interfaces -----------------------------------------------------------------------------------------

    def follow_interfaces(self, wanted: frozenset[str]) -> frozenset[str]:
        """Listen on just these interfaces, also on those that come later or come back; returns the missing ones."""
        for name, (index, _) in list(self._interfaces.items()):
            if name not in wanted or _index(name) != index:
                self._close_interface(name)
        missing = frozenset(name for name in wanted if name not in self._interfaces and not self._listen_on(name))
        if missing != self._missing:
            self._tell_missing(missing)
        self._missing = missing
        return missing

    def _listen_on(self, name: str) -> bool:
        assert self._main
        index = _index(name)
        if index is None:
            return False
        try:
            sock = open_udp("0.0.0.0", self._main.getsockname()[1], interface=name)
        except OSError as error:
            if self._complaints.due(name, time.time()):
                self._log.error("an interface cannot be listened on", interface=name, error=str(error))
            return False
        self._interfaces[name] = (index, sock)
        asyncio.get_running_loop().add_reader(sock, self._wake)
        self._log.info("listening on an interface", interface=name)
        return True

    def _close_interface(self, name: str) -> None:
        _, sock = self._interfaces.pop(name)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def _tell_missing(self, missing: frozenset[str]) -> None:
        for name in sorted(missing - self._missing):
            self._log.error("a subnet names an interface that cannot be listened on; it is not served", interface=name)
        self._ready("interfaces", not missing, missing_sentence(missing) if missing else "")

    def follow_proxies(self, *, wanted: bool) -> None:
        """Listen on the boot port just where a subnet in mode `proxy` needs it."""
        assert self._main
        assert self._sender
        if wanted == (self._sender.boot is not None):
            return
        if wanted:
            self._open_boot_port(self._sender, self._main.getsockname())
        else:
            self._close_boot_port(self._sender)

    def _open_boot_port(self, sender: Sender, main: tuple[str, int]) -> None:
        address, port = main[0], main[1] + BOOT_PORT_ABOVE
        try:
            sender.boot = open_udp(address, port, shared=False)
        except (OSError, OverflowError) as error:
            detail = (
                f"firmware that asks for its boot program at udp {address}:{port} gets no answer: {error};"
                f" `ss -lpnu` names the program that has the port"
            )
            if self._complaints.due("boot port", time.time()):
                self._log.error("the boot port of proxy subnets cannot be had", detail=detail)
            self._ready("boot port", False, detail)
            return
        asyncio.get_running_loop().add_reader(sender.boot, self._wake)
        self._log.info("listening on the boot port, for subnets in mode proxy", port=port)
        self._ready("boot port", True, "")

    def _close_boot_port(self, sender: Sender) -> None:
        if sender.boot:
            asyncio.get_running_loop().remove_reader(sender.boot)
            sender.boot.close()
            sender.boot = None

    # --- work -----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let run out what has run out; to be called about once a second."""
        self._process([])

    def _wake(self) -> None:
        """Take what waits, in every socket, so that one sync stores it."""
        assert self._main
        own = {index for index, _ in self._interfaces.values()}
        # A broadcast is delivered to each socket of the port: what an interface's own socket gets is not taken twice.
        waiting = [datagram for datagram in drain(self._main) if datagram.index not in own]
        for _, sock in self._interfaces.values():
            waiting += drain(sock)
        if self._sender and self._sender.boot:
            waiting += drain(self._sender.boot, at_boot_port=True)
        if waiting:
            self._metrics.batch.observe(len(waiting))
            self._process(waiting)

    def _process(self, datagrams: list[Datagram]) -> None:
        self.carry_out(self._engine.handle(datagrams, time.time()))

    def _heard(self, sightings: list[Sighting]) -> None:
        """Hosts on a link said which addresses they use."""
        self.carry_out(self._engine.sighted(sightings, time.time()))

    def release(self, address: IPv4Address) -> list[Lease]:
        """An operator takes an address back; what became of its record. Raises StoreError where it cannot be stored."""
        batch = self._engine.release(address, time.time())
        if not self.carry_out(batch):
            raise StoreError("the lease database takes nothing at present")
        return batch.changes

    def carry_out(self, batch: Batch) -> bool:
        """Whether leases are stored, and with them all that comes after it done."""
        self._count(batch)
        self._ask(batch.probes)
        self._share(batch)  # before a change of the membership that comes while leases are stored
        offers, rest = batch.parted()
        # In this order: no answer leaves before its lease is on the disk and its event in the spool. Offers need not
        # wait while the disk is well; where it was not, all is stored first, and once more below, which is harmless.
        if self._unsaved and not self._store(rest.changes):
            return False
        self._answer(offers)
        if not self._store(rest.changes):
            return False
        self._answer(rest)
        if rest.changes and not rest.is_heard:
            self._told(rest.changes)
        return True

    def _answer(self, batch: Batch) -> None:
        if batch.events:
            self._record(batch.events)
        if batch.replies:
            self._send_all(batch.replies)

    def _ask(self, probes: list[Probe]) -> None:
        """Put probes on the link, and be back when the first of them is due."""
        for probe in probes:
            try:
                self._prober.ask(probe)
            except OSError as error:
                if self._complaints.due("probe", time.time()):
                    self._log.warning("an address is offered unprobed", ip=str(probe.address), error=str(error))
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        deadline = self._engine.deadline
        if deadline is None:
            self._prober.rest()
        else:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, deadline - time.time()), self.tick)

    def _store(self, changes: list[Lease]) -> bool:
        """Whether all changes are stored; those of a failed attempt are stored with the next."""
        self._unsaved += changes
        if not self._unsaved:
            return True
        try:
            with self._metrics.commit.time():
                self._save(self._unsaved)
        except StoreError as error:
            self._ready("leases", False, str(error))
            self._unsaved = list({lease.address: lease for lease in self._unsaved}.values())
            if self._complaints.due("store", time.time()):
                self._log.error("no request is answered, as leases cannot be stored", error=str(error))
            return False
        self._unsaved = []
        self._ready("leases", True, "")
        return True

    def _send_all(self, replies: Iterable[Reply]) -> None:
        sent: Counter[tuple[MessageType, str]] = Counter()
        for reply in replies:
            if self._send(reply):
                sent[reply.type, reply.delivery.way] += 1
        for (kind, way), count in sent.items():
            self._metrics.sent.labels(kind.name.lower(), way).inc(count)

    def _send(self, reply: Reply) -> bool:
        assert self._sender
        try:
            self._sender.send(reply)
        except OSError as error:
            way = reply.delivery.way
            self._metrics.unsent.labels(way).inc()
            if self._complaints.due((way, reply.delivery.address), time.time()):
                self._log.warning("a reply cannot leave", way=way, to=str(reply.delivery.address), error=str(error))
            return False
        return True

    def _count(self, batch: Batch) -> None:
        for kind, count in batch.received.items():
            self._metrics.received.labels(kind).inc(count)
        for reason, count in batch.unanswered.items():
            self._metrics.unanswered.labels(reason).inc(count)
        for fault in batch.faults:
            if self._complaints.due(("fault", repr(fault)), time.time()):
                self._log.error("a request cost its answer by an error of ours", exc_info=fault)


def missing_sentence(missing: Iterable[str]) -> str:
    """What to tell of interfaces that subnets name and the host lacks."""
    names = ", ".join(sorted(missing))
    return (
        f"no interface {names} on this host, although a subnet names it; `ip link` lists them:"
        f" correct `interface` of the subnet, or leave it out where a relay serves it"
    )


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
