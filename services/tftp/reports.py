"""What is said of each request: one event for each transfer, metrics for everything, a log line where it helps."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from structlog.typing import FilteringBoundLogger

from libs.events import BootconfigFetched, Event, FileFetched, TransferFailed
from services.tftp.channel import Channel
from services.tftp.errors import ExpectedMissError, NotServedError
from services.tftp.fleet import Who
from services.tftp.limits import Allowance, Recent
from services.tftp.paths import printable
from services.tftp.session import End
from services.tftp.transmit import Address

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_ROUND_TRIPS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)
_REPETITION = 5.0  # seconds in which the same failing request is one failure


class Reports:
    """Turns the ends of transfers and requests into events and figures.

    Failures are events, too, but a client that does nothing but fail is counted only, after a while: the stream is
    no place to write to for everyone on the network.
    """

    def __init__(self, emit: Callable[[Event], None], log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        self._emit = emit
        self._log = log
        self._for_each = Allowance(burst=20, seconds=5)
        self._for_all = Allowance(burst=500, seconds=0.1)
        self._complaints = Allowance(burst=3, seconds=10)
        self._failed = Recent(_REPETITION)
        self._transfers = Counter(
            "kickfleet_tftp_transfers",
            "transfers by how they ended and what was sent",
            ["end", "kind"],
            registry=registry,
        )
        self._refused = Counter(
            "kickfleet_tftp_requests_refused", "requests answered with an error", ["reason"], registry=registry
        )
        self._dropped = Counter(
            "kickfleet_tftp_datagrams_dropped", "datagrams that were ignored", ["reason"], registry=registry
        )
        self._bytes = Counter("kickfleet_tftp_sent_bytes", "octets acknowledged by clients", registry=registry)
        self._retransmits = Counter("kickfleet_tftp_retransmits", "datagrams sent again", registry=registry)
        self._silenced = Counter(
            "kickfleet_tftp_failures_silenced", "failures that were counted without an event", registry=registry
        )
        self._seconds = Histogram(
            "kickfleet_tftp_transfer_seconds", "duration of completed transfers", buckets=_SECONDS, registry=registry
        )
        self._round_trip = Histogram(
            "kickfleet_tftp_round_trip_seconds", "round trip of transfers", buckets=_ROUND_TRIPS, registry=registry
        )
        self._active = Gauge("kickfleet_tftp_transfers_active", "transfers under way", registry=registry)

    def watch(self, active: Callable[[], int]) -> None:
        """Show how many transfers are under way."""
        self._active.set_function(active)

    def dropped(self, reason: str, count: int = 1) -> None:
        """A datagram was ignored."""
        self._dropped.labels(reason).inc(count)

    def host_fault(self, ip: str, error: OSError, now: float) -> None:
        """A request could not be served for want of something on this host, such as descriptors."""
        self.dropped("host")
        if self._complaints.take(error.errno, now):
            self._log.error("a request could not be served", ip=ip, error=str(error))

    def finished(self, channel: Channel, now: float) -> None:
        """A transfer is over."""
        transfer, job, ending = channel.transfer, channel.job, channel.transfer.ending
        if ending is None:
            raise ValueError("the transfer is not over")
        kind = job.found.event.TYPE.partition(".")[0]
        self._transfers.labels(ending.how.value, kind).inc()
        self._bytes.inc(transfer.delivered)
        self._retransmits.inc(transfer.retransmits)
        if transfer.round_trip.smoothed:
            self._round_trip.observe(transfer.round_trip.smoothed)
        if ending.how is End.COMPLETED:
            self._fetched(channel)
        elif ending.how in (End.ABORTED, End.TIMED_OUT) and not (job.echo and not transfer.confirmed):
            self._broken(channel, ending.how, ending.detail, now)

    def not_served(self, client: Address, ip: str, asked: str, who: Who, error: NotServedError, now: float) -> None:
        """A request is about to be answered with an error."""
        self._refused.labels("expected" if isinstance(error, ExpectedMissError) else error.reason).inc()
        if isinstance(error, ExpectedMissError) or self._failed.add((client, asked), now):
            return
        path = printable(asked)
        self._log.warning("a request was not served", ip=ip, mac=who.mac, path=path, reason=error.text)
        self._fail(
            TransferFailed(
                mac=who.mac,
                machine=who.machine,
                install_id=who.install_id,
                ip=ip,
                path=path,
                reason=error.reason,
                detail=error.text,
            ),
            now,
        )

    def _fetched(self, channel: Channel) -> None:
        transfer, job, who = channel.transfer, channel.job, channel.job.found.who
        self._seconds.observe(transfer.seconds)
        kind = job.found.event
        boots: dict[str, Any] = {"boots": job.found.boots} if issubclass(kind, BootconfigFetched) else {}
        event = kind(
            mac=who.mac,
            machine=who.machine,
            install_id=who.install_id,
            ip=job.ip,
            path=job.path,
            bytes=transfer.delivered,
            seconds=round(transfer.seconds, 6),
            retransmits=transfer.retransmits,
            blksize=transfer.terms.blksize,
            windowsize=transfer.terms.windowsize,
            round_trip=round(transfer.round_trip.smoothed, 6) or None,
            **boots,
        )
        self._emit(event)
        say = self._log.debug if kind is FileFetched else self._log.info
        say("a file arrived", ip=job.ip, mac=who.mac, machine=who.machine, path=job.path, bytes=transfer.delivered)

    def _broken(self, channel: Channel, how: End, detail: str, now: float) -> None:
        transfer, job, who = channel.transfer, channel.job, channel.job.found.who
        event = TransferFailed(
            mac=who.mac,
            machine=who.machine,
            install_id=who.install_id,
            ip=job.ip,
            path=job.path,
            reason=how.value,
            detail=printable(detail),
            bytes=transfer.delivered,
            size=transfer.size,
            block=transfer.block,
            seconds=round(now - transfer.started, 6),
            retransmits=transfer.retransmits,
        )
        self._log.warning(
            "a transfer failed", ip=job.ip, mac=who.mac, machine=who.machine, path=job.path, reason=event.detail
        )
        self._fail(event, now)

    def _fail(self, event: TransferFailed, now: float) -> None:
        if self._for_each.take(event.ip, now) and self._for_all.take("all", now):
            self._emit(event)
        else:
            self._silenced.inc()
