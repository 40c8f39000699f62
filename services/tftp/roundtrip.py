"""How long to wait for an acknowledgement: the measured round trip (RFC 6298), doubled at each silence."""

FIRST = 1.0  # seconds, before anything was measured
LEAST = 0.03  # beyond the mean: a client that reads or draws for a moment is not repeated to
MOST = 5.0


class RoundTrip:
    """One client's round trip. All times are seconds."""

    __slots__ = ("_most", "_variance", "smoothed", "wait")

    def __init__(self, asked: int | None = None) -> None:
        """`asked` is the client's timeout option: repetitions are never further apart."""
        self._most = MOST if asked is None else min(MOST, asked)
        self._variance = 0.0
        self.smoothed = 0.0
        self.wait = min(FIRST, self._most)

    def measure(self, seconds: float) -> None:
        """A packet that was sent once was acknowledged after `seconds` (Karn: never one that was repeated)."""
        if self.smoothed:
            self._variance += (abs(self.smoothed - seconds) - self._variance) / 4
            self.smoothed += (seconds - self.smoothed) / 8
        else:
            self.smoothed, self._variance = seconds, seconds / 2
        self.wait = min(self.smoothed + max(4 * self._variance, LEAST), self._most)

    def back_off(self) -> None:
        """No acknowledgement came in time. The longer wait stays until the next measurement (RFC 6298 section 5)."""
        self.wait = min(self.wait * 2, self._most)
