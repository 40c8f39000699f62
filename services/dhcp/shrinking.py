"""A pool that is made smaller than what is leased from it: said, and nothing is taken from a running machine."""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from libs.desired import SubnetDocument
from services.dhcp.fleet import Fleet
from services.dhcp.leases import Lease, Leases, State
from services.dhcp.pool import Pool

SHOWN = 8  # addresses that are named


def stranded(before: SubnetDocument, after: SubnetDocument | None, leases: Leases) -> list[Lease]:
    """The leases held in what was the pool and is not any more, by address; all of them where the subnet is gone."""
    old, new = Pool(before), Pool(after) if after else None
    return sorted(
        (
            lease
            for lease in leases
            if lease.state is State.BOUND and lease.address in old and (new is None or lease.address not in new)
        ),
        key=lambda lease: lease.address,
    )


def telling(fleet: Fleet, leases: Leases, log: FilteringBoundLogger) -> Callable[[str, SubnetDocument | None], None]:
    """Puts subnets into the fleet, and says of leases that a change leaves outside."""

    def put(name: str, subnet: SubnetDocument | None) -> None:
        before = fleet.subnet(name)
        fleet.put_subnet(name, subnet)
        left = stranded(before, subnet, leases) if before and before != subnet else []
        if left:
            log.warning(
                "leases are held outside the pool; their machines keep them while they renew, and lose them when they"
                " start anew"
                if subnet
                else "leases are held in a subnet that is gone; nobody renews them",
                subnet=name,
                count=len(left),
                addresses=[str(lease.address) for lease in left[:SHOWN]],
            )

    return put
