"""What strangers may take: machines that nobody registered, in subnets whose policy serves them.

Known machines are limited by nothing here. A flood of invented hardware addresses is held by three bounds on the
offers outstanding (a switch port, a relay or interface, all together) and by a share of each pool that no stranger
gets, so that known machines find addresses whatever strangers do.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

from services.dhcp.fleet import Fleet
from services.dhcp.leases import MAXIMUM_OFFERS, Leases, Source
from services.dhcp.pool import Pool
from services.dhcp.sharing.partition import Sharing

RESERVED_SHARE = 8  # one address in so many of a pool is for known machines alone
MOST_OFFERS = {"circuit": 128, "relay": 1024, "all": MAXIMUM_OFFERS // 2}  # outstanding to strangers, by where they are


def sources_of(relay: str, circuit: bytes | None) -> tuple[Source, ...]:
    """What an offer to a stranger is counted under. `relay`: its address, or the interface; `circuit`: option 82.1."""
    everywhere: tuple[Source, ...] = (("all",), ("relay", relay))
    return everywhere if circuit is None else (*everywhere, ("circuit", relay, circuit.hex()))


def is_crowded(leases: Leases, sources: tuple[Source, ...]) -> bool:
    """Whether a stranger there gets no further offer for now."""
    return any(leases.offers_from(source) >= MOST_OFFERS[source[0]] for source in sources)


@dataclass(frozen=True, slots=True)
class Unreserved:
    """The addresses of a pool that are kept for no machine; where servers share it, of this server's part."""

    pool: Pool
    fleet: Fleet
    sharing: Sharing

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and self._is_ours(address) and not self.fleet.reserved_for(address)

    def __len__(self) -> int:
        return self.part - sum(map(self._is_ours, self.fleet.reservations))

    @property
    def part(self) -> int:
        """How many addresses of the pool are ours."""
        return len(self.pool) if self.sharing.alone else sum(map(self.sharing.owns, self.pool))

    def _is_ours(self, address: IPv4Address) -> bool:
        return address in self.pool and self.sharing.owns(address)


@dataclass(frozen=True, slots=True)
class Share:
    """How many addresses of a subnet's pool may be taken before strangers get no more; valid until `pool` changes."""

    pool: Pool
    most: int


def share_of(pool: Pool, fleet: Fleet, leases: Leases, sharing: Sharing, subnet: str) -> Share:
    """Begin to count what is taken of a pool."""
    open_to_all = Unreserved(pool, fleet, sharing)
    leases.watch(subnet, open_to_all)
    return Share(pool, len(open_to_all) - open_to_all.part // RESERVED_SHARE)
