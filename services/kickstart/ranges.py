"""Byte ranges (RFC 9110 section 14), and which parts of a file a client has had by now."""

import re
from collections import OrderedDict

_SINGLE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
MAX_CLIENTS = 4096  # files in progress that are remembered


class Unsatisfiable(Exception):
    """No octet of the file is in the range."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first octet and the one behind the last; None where the whole file is to be sent.

    A header that is not one range of bytes is ignored, as section 14.2 allows. Raises Unsatisfiable.
    """
    match = _SINGLE.fullmatch(header.strip()) if header else None
    if not match:
        return None
    if match[3] is not None:
        start, end = max(0, size - int(match[3])), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end


class Coverage:
    """Remembers, for the clients seen last, which octets of which file have arrived."""

    def __init__(self) -> None:
        self._had: OrderedDict[tuple[str, str], list[tuple[int, int]]] = OrderedDict()

    def add(self, client: str, file: str, start: int, end: int, size: int) -> bool:
        """Note that a part has arrived. True when the client has the whole file with it, which is then forgotten."""
        key = (client, file)
        parts = merged([*self._had.pop(key, []), (start, end)])
        if parts == [(0, size)]:
            return True
        self._had[key] = parts
        if len(self._had) > MAX_CLIENTS:
            self._had.popitem(last=False)
        return False


def merged(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts in order, those that touch or overlap made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
