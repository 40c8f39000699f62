"""For all tests: an end from outside is an end like any other, after which nothing is left running."""

import signal


def pytest_configure() -> None:
    """SIGTERM, which a time limit sends, unwinds the fixtures as Ctrl-C does: namespaces and processes are removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
