"""For all tests: an end from outside is an end like any other, after which nothing is left running."""

import signal

from hypothesis import HealthCheck, settings


def pytest_configure() -> None:
    """SIGTERM, which a time limit sends, unwinds the fixtures as Ctrl-C does: namespaces and processes are removed."""
    # How long an example takes says how busy the machine is, and nothing of what is tested.
    settings.register_profile("kickfleet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("kickfleet")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
