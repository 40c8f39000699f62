"""Which addresses are this server's own. Pure.

Every server that takes part owns a part of all addresses: the address' number modulo the number of members, in the
order of their identities. What it owns by all memberships that any server could still go by it gives out without
asking anybody; for anything else it needs the agreement of the bus. See services/dhcp/README.md for the guarantee.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address

from services.dhcp.leases import Hardware, Lease, State

CLOCK_SKEW = 5.0  # seconds by which the servers' clocks may differ
LEAST_SECONDS = 30  # a lease confirmed without the bus is worth its packet only if it lasts so long

Members = tuple[str, ...]  # identities, sorted


def owner(address: IPv4Address, members: Members) -> str:
    """Whose an address is among these members, at least one."""
    return members[int(address) % len(members)]


class Sharing:
    """What this server may do on its own. `history`: the memberships that servers may go by, the oldest first.

    A server that takes part in none owns nothing; by default there is one server alone.
    """

    def __init__(self, me: str = "", history: Sequence[Members] | None = None) -> None:
        self.me = me
        self.connected = False  # whether the bus is there and all that it knows is known here
        self.peers: frozenset[IPv4Address] = frozenset()  # the other servers' addresses
        self.overdue: set[IPv4Address] = set()  # whose time is over, as far as is known here
        self.ended: set[IPv4Address] = set()  # of which the bus knows that nobody holds them any more
        self.go_by(((me,),) if history is None else history)

    def go_by(self, history: Sequence[Members]) -> None:
        """Go by these memberships from now on."""
        self.history = tuple(history)
        self.alone = self.history == ((self.me,),)

    def hold_over(self, address: IPv4Address) -> bool:
        """A lease's time is over: whether it must not end here and now, as another server may have extended it."""
        if not self.alone:
            self.overdue.add(address)
        return not self.alone

    @property
    def margin(self) -> float:
        """Seconds that a record outlives what its client was told, so that clocks may differ."""
        return 0.0 if self.alone else CLOCK_SKEW

    def owns(self, address: IPv4Address) -> bool:
        """Whether no other server can give the address to anybody."""
        if self.alone:
            return True
        return bool(self.history) and all(owner(address, members) == self.me for members in self.history)

    def may_have_owned(self, address: IPv4Address) -> bool:
        """Whether this server may have given the address by itself, before others had agreed to what it goes by now."""
        return any(owner(address, members) == self.me for members in self.history)

    def may_give(self, address: IPv4Address, hardware: Hardware, record: Lease | None, *, is_kept: bool) -> bool:
        """Whether the address may become the client's as far as other servers are concerned.

        `is_kept`: reserved for the client's machine and outside of every pool, so that no other machine ever gets it.
        """
        if self.alone or is_kept:
            return True
        if record and record.state is State.BOUND and record.hardware == hardware:
            return self.connected or self.owns(address)
        return self.owns(address) and self._is_over(address, hardware, record)

    def _is_over(self, address: IPv4Address, hardware: Hardware, record: Lease | None) -> bool:
        """Whether no server can still think that somebody else holds it: its end is known to the bus."""
        if record is None or record.state is State.EXPIRED:
            return True
        return record.state is not State.BOUND and (address in self.ended or record.hardware == hardware)

    def must_claim(self, address: IPv4Address) -> bool:
        """Whether the bus has to agree before a client is told that it has the address."""
        return not self.owns(address)

    def confirmed_seconds(self, record: Lease, now: float) -> int:
        """What may be promised of another's lease without the bus: its rest, as its owner knows it. 0: nothing."""
        seconds = int(record.expires - CLOCK_SKEW - now)
        return seconds if seconds >= LEAST_SECONDS else 0
