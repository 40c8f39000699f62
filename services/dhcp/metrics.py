"""What the service counts, for Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.dhcp.allocation import Allocation
from services.dhcp.fleet import Fleet
from services.dhcp.leases import State

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The service's counters. Labels have few values, all of them ours."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.received = Counter("kickfleet_dhcp_received", "requests read, by type", ["type"], registry=registry)
        self.unanswered = Counter(
            "kickfleet_dhcp_unanswered", "datagrams that got no answer, by reason", ["reason"], registry=registry
        )
        self.sent = Counter("kickfleet_dhcp_sent", "replies sent, by type and way", ["type", "way"], registry=registry)
        self.unsent = Counter(
            "kickfleet_dhcp_unsent", "replies that could not leave, by way", ["way"], registry=registry
        )
        self.batch = Histogram(
            "kickfleet_dhcp_batch_datagrams", "datagrams handled together", buckets=_BATCHES, registry=registry
        )
        self.commit = Histogram(
            "kickfleet_dhcp_commit_seconds", "time to store changed leases", buckets=_COMMITS, registry=registry
        )


class LeaseCollector(Collector):
    """Gauges that are read from the lease table when they are asked for."""

    def __init__(self, fleet: Fleet, allocation: Allocation) -> None:
        self._fleet = fleet
        self._allocation = allocation

    def collect(self) -> Iterator[Metric]:
        """Leases by subnet and state, addresses of the pools, outstanding offers."""
        leases = GaugeMetricFamily("kickfleet_dhcp_leases", "lease records", labels=["subnet", "state"])
        pools = GaugeMetricFamily("kickfleet_dhcp_pool_addresses", "addresses of the pool", labels=["subnet"])
        for subnet in self._fleet.subnets:
            pools.add_metric([subnet.name], self._allocation.usage(subnet).size)
            for state in (State.BOUND, State.EXPIRED, State.RELEASED, State.DECLINED):
                leases.add_metric([subnet.name, state.value], self._allocation.leases.count(subnet.name, state))
        yield leases
        yield pools
        yield GaugeMetricFamily("kickfleet_dhcp_offers", "outstanding offers", self._allocation.leases.offers)
