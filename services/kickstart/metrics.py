"""What kickstart counts."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The counters of one service."""

    def __init__(self, registry: CollectorRegistry, machines: Callable[[], int]) -> None:
        self._requests = Counter(
            "kickfleet_kickstart_requests", "Requests of machines", ["kind", "status"], registry=registry
        )
        self._octets = Counter("kickfleet_kickstart_sent_bytes", "Octets of files sent by HTTP", registry=registry)
        self._problems = Counter(
            "kickfleet_kickstart_problems", "Files that could not be rendered, each counted once", registry=registry
        )
        fleet = Gauge("kickfleet_kickstart_machines", "Machines in the fleet", registry=registry)
        fleet.set_function(machines)

    def request(self, kind: str, status: int) -> None:
        """A request was answered."""
        self._requests.labels(kind, str(status)).inc()

    def octets(self, count: int) -> None:
        """Octets of a file have been sent."""
        self._octets.inc(count)

    def problem(self) -> None:
        """A file could not be rendered."""
        self._problems.inc()
