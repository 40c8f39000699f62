"""The spool: events wait here, on disk, until the bus has them for certain.

A record is appended with one write, so that it survives the death of the process. Records leave by whole segments:
a segment is deleted some seconds after the bus acknowledged its last record, because JetStream acknowledges before
it syncs. After a restart, and whenever the bus comes back, all that is still here is published again; the same id
makes the repetition harmless.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SEGMENT_BYTES = 1 << 20
KEEP = 10.0  # seconds that acknowledged records stay


class Record(NamedTuple):
    """One event on its way to the bus."""

    subject: str
    id: str
    payload: bytes


class Position(NamedTuple):
    """A place between two records."""

    segment: int
    offset: int


@dataclass
class _Segment:
    number: int
    path: Path
    size: int
    acknowledged: float | None = None  # when its last record was, by the spool's clock


class Spool:
    """An append-only queue in `folder`. `clock` gives seconds, monotonic."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        folder.mkdir(parents=True, exist_ok=True)
        self._segments = [_Segment(int(path.stem), path, path.stat().st_size) for path in sorted(folder.glob("*.log"))]
        self._file = -1
        self._open_segment()

    def append(self, *records: Record) -> None:
        """Add records; one write, so that a killed process leaves each whole or not at all. Raises OSError."""
        lines = b"".join(b"%b\t%b\t%b\n" % (subject.encode(), id.encode(), payload) for subject, id, payload in records)
        active = self._segments[-1]
        if active.size and active.size + len(lines) > SEGMENT_BYTES:
            active = self._open_segment()
        written = os.write(self._file, lines)
        active.size += written
        active.acknowledged = None
        if written < len(lines):
            self._open_segment()  # the torn line ends its segment, and is passed over when read
            raise OSError("the spool's disk is full")

    def start(self) -> Position:
        """The oldest place that is still kept."""
        return Position(self._segments[0].number, 0)

    def read(self, position: Position, limit: int) -> tuple[list[Record], Position]:
        """At most `limit` records from `position` on, and the place behind them."""
        records: list[Record] = []
        for segment in self._segments:
            if segment.number < position.segment:
                continue
            offset = position.offset if segment.number == position.segment else 0
            taken, offset = _read_lines(segment.path, offset, segment.size, limit - len(records))
            records += taken
            position = Position(segment.number, offset)
            if len(records) >= limit:
                break
        return records, position

    def acknowledge(self, position: Position) -> None:
        """All before `position` is with the bus; what was for long enough is deleted."""
        now = self._clock()
        for segment in self._segments:
            passed = segment.number < position.segment or position == (segment.number, segment.size)
            if passed and segment.size and segment.acknowledged is None:
                segment.acknowledged = now
        self.tidy()

    def tidy(self) -> None:
        """Delete the segments that the bus has had for `KEEP` seconds."""
        due = self._clock() - KEEP
        if self._segments[-1].acknowledged is not None and self._segments[-1].acknowledged <= due:
            self._open_segment()
        while len(self._segments) > 1 and self._is_done(self._segments[0], due):
            self._segments.pop(0).path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(segment.size for segment in self._segments)

    def close(self) -> None:
        """Close the file; the records stay."""
        os.close(self._file)

    def _is_done(self, segment: _Segment, due: float) -> bool:
        return not segment.size or (segment.acknowledged is not None and segment.acknowledged <= due)

    def _open_segment(self) -> _Segment:
        if self._file >= 0:
            os.close(self._file)
        number = self._segments[-1].number + 1 if self._segments else 1
        path = self._folder / f"{number:08}.log"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._segments.append(_Segment(number, path, 0))
        return self._segments[-1]


def _read_lines(path: Path, offset: int, size: int, limit: int) -> tuple[list[Record], int]:
    records: list[Record] = []
    with path.open("rb") as file:
        file.seek(offset)
        while len(records) < limit and offset < size:
            line = file.readline()
            offset += len(line)
            parts = line.rstrip(b"\n").split(b"\t", 2)
            if line.endswith(b"\n") and len(parts) == 3:
                records.append(Record(parts[0].decode(), parts[1].decode(), parts[2]))
            elif not line:
                break
    return records, offset
