"""The transfers that run now, told over the bus to those who ask."""

from collections.abc import Callable, Iterable
from heapq import nlargest
from typing import Any

from services.tftp.channel import Channel

SUBJECT = "kickfleet.rpc.tftp.transfers"
MOST = 1000  # transfers in one answer, which has to fit into one message


class Progress:
    """Answers {"limit"?: number} with {"transfers": [document, …], "total": how many run}: the longest first."""

    def __init__(self, running: Callable[[], Iterable[Channel]], clock: Callable[[], float]) -> None:
        self._running = running
        self._clock = clock

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer one question."""
        limit = question.get("limit", MOST)
        if not isinstance(limit, int) or not 1 <= limit <= MOST:
            return {"error": f"limit: {limit!r} is no number from 1 to {MOST}"}
        now, running = self._clock(), list(self._running())
        longest = nlargest(limit, running, key=lambda channel: now - channel.transfer.started)
        return {"transfers": [_document(channel, now) for channel in longest], "total": len(running)}


def _document(channel: Channel, now: float) -> dict[str, Any]:
    transfer, job, who = channel.transfer, channel.job, channel.job.found.who
    return {
        "machine": who.machine,
        "mac": who.mac,
        "ip": job.ip,
        "path": job.path,
        "bytes": transfer.delivered,
        "size": transfer.size,
        "seconds": round(now - transfer.started, 3),
        "retransmits": transfer.retransmits,
        "blksize": transfer.terms.blksize,
        "windowsize": transfer.terms.windowsize,
        "round_trip": round(transfer.round_trip.smoothed, 6) or None,
    }
