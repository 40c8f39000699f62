"""What programs write to their standard error goes on to ours, whole lines at a time, so that lines never mix."""

import asyncio
from collections.abc import Callable

CHUNK = 64 * 1024
LONGEST_LINE = 256 * 1024

Write = Callable[[bytes], None]


async def relay(source: asyncio.StreamReader, write: Write) -> str:
    """Pass on everything until the end; returns the last line that was not empty."""
    kept, last = b"", b""
    while chunk := await source.read(CHUNK):
        lines, newline, kept = (kept + chunk).rpartition(b"\n")
        if newline:
            write(lines + newline)
            last = _last_line(lines) or last
        elif len(kept) > LONGEST_LINE:
            write(kept + b"\n")
            kept = b""
    if kept:
        write(kept + b"\n")
    return (kept.strip() or last).decode(errors="replace")


def _last_line(text: bytes) -> bytes:
    return text.rstrip().rpartition(b"\n")[2].strip()
