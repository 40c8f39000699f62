"""Facts that are told once per interval, and not once per packet."""

from collections import OrderedDict
from collections.abc import Hashable


class OncePerInterval:
    """Remembers what was told. Bounded: at most `limit` different facts are told within one interval.

    So a flood of invented hardware addresses fills neither the memory nor the spool.
    """

    def __init__(self, seconds: float, limit: int) -> None:
        self._seconds = seconds
        self._limit = limit
        self._told: OrderedDict[Hashable, float] = OrderedDict()

    def due(self, fact: Hashable, now: float) -> bool:
        """Whether the fact is to be told now; if so it counts as told."""
        while self._told and next(iter(self._told.values())) <= now - self._seconds:
            self._told.popitem(last=False)
        if fact in self._told or len(self._told) >= self._limit:
            return False
        self._told[fact] = now
        return True
