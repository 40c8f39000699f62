"""How much of this service clients may have, one by one and together."""

from collections.abc import Hashable
from dataclasses import dataclass

_REMEMBERED = 4096  # keys


@dataclass(frozen=True, slots=True)
class Limits:
    """Transfers at a time. One costs a socket and a few kilobytes."""

    total: int = 8192
    per_address: int = 256  # many machines may share an address: network translation, relays


class Recent:
    """Things that happened a moment ago, each forgotten after `seconds`. Bounded: the oldest goes first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[Hashable, float] = {}

    def add(self, key: Hashable, now: float) -> bool:
        """Remember it; whether it was remembered already."""
        known = self._until.pop(key, 0.0) > now
        self._until[key] = now + self._seconds
        if len(self._until) > _REMEMBERED:
            del self._until[next(iter(self._until))]
        return known

    def has(self, key: Hashable, now: float) -> bool:
        """Whether it happened a moment ago."""
        return self._until.get(key, 0.0) > now


class Allowance:
    """How often something may be said for each key: `burst` times at once, then once in `seconds` (token bucket)."""

    def __init__(self, burst: int, seconds: float) -> None:
        self._burst = burst
        self._seconds = seconds
        self._spent: dict[Hashable, tuple[float, float]] = {}  # what was spent, and when it was counted

    def take(self, key: Hashable, now: float) -> bool:
        """Whether it may be said once more."""
        spent, since = self._spent.pop(key, (0.0, now))
        spent = max(0.0, spent - (now - since) / self._seconds)
        allowed = spent + 1 <= self._burst
        self._spent[key] = (spent + 1 if allowed else spent, now)
        if len(self._spent) > _REMEMBERED:
            del self._spent[next(iter(self._spent))]
        return allowed
