"""How long to wait for an acknowledgement: the measured round trip (RFC 6298), doubled at each silence."""

FIRST = 1.0  # seconds, before anything was measured
LEAST = 0.03  # beyond the mean: a client that reads or draws for a moment is not repeated to
MOST = 5.0
MARGIN = 1.25  # of the slowest round trip lately: a client or a host that pauses now and then is not repeated to
PATIENCE = 0.999  # what is left of the slowest round trip after another one: thousands a second soon forget a pause


class RoundTrip:
    """One client's round trip. All times are seconds."""

    __slots__ = ("_most", "_slowest", "_variance", "smoothed", "wait")

    def __init__(self, asked: int | None = None) -> None:
        """`asked` is the client's timeout option: repetitions are never further apart."""
        self._most = MOST if asked is None else min(MOST, asked)
        self._variance = 0.0
        self._slowest = 0.0
        self.smoothed = 0.0
        self.wait = min(FIRST, self._most)

    def measure(self, seconds: float) -> None:
        """A packet that was sent once was acknowledged after `seconds` (Karn: never one that was repeated)."""
        if self.smoothed:
            difference = seconds - self.smoothed
            self._variance += (abs(difference) - self._variance) / 4
            self.smoothed += difference / 8
        else:
            self.smoothed, self._variance = seconds, seconds / 2
        slowest = self._slowest * PATIENCE
        self._slowest = seconds if seconds > slowest else slowest
        self.wait = min(max(self.smoothed + max(4 * self._variance, LEAST), self._slowest * MARGIN), self._most)

    def back_off(self) -> None:
        """No acknowledgement came in time. The longer wait stays until the next measurement (RFC 6298 section 5)."""
        self.wait = min(self.wait * 2, self._most)
