"""What stands of the bucket and of this server's own changes: three ways to give an address twice that were found."""

from ipaddress import IPv4Address

from libs.wire.dhcp import encode
from libs.wire.dhcp_options import MessageType
from services.dhcp.leases import Hardware, Lease, Leases, State
from services.dhcp.sharing.claiming import Claim
from services.dhcp.sharing.merge import Version
from services.dhcp.sharing.partition import Sharing
from services.dhcp.sharing.records import Records
from tests.services.dhcp.lab import MAC, Lab, lab, message

NOW = 1_900_000_000.0
POOL = [IPv4Address("10.77.0.100") + n for n in range(8)]
A, B = Hardware(1, b"\x52\x54\0\0\0\1"), Hardware(1, b"\x52\x54\0\0\0\2")
SHARING = Sharing("a", [("a", "b")])
OWN = next(address for address in POOL if SHARING.owns(address))
OTHERS = next(address for address in POOL if not SHARING.owns(address))


def lease(
    address: IPv4Address, state: State = State.BOUND, hardware: Hardware = A, expires: float = NOW + 600
) -> Lease:
    return Lease(address=address, hardware=hardware, subnet="rack1", state=state, expires=expires)


def records(*leases: Lease) -> Records:
    """Of a server that has these on its disk, as after a restart."""
    table = Leases()
    table.load(leases)
    return Records(table, Sharing("a", [("a", "b")]))


def test_after_a_restart_the_end_of_a_lease_in_anothers_part_counts() -> None:
    """Its owner may have given the address to somebody else since: what this disk says is older than the bus."""
    ended = lease(OTHERS, State.RELEASED, expires=NOW)
    assert records(lease(OTHERS)).heard(Version(ended, "b"), NOW, is_news=False) == ended


def test_after_a_restart_a_lease_of_the_own_part_stands_that_the_bus_was_not_told_of() -> None:
    ended = lease(OWN, State.RELEASED, expires=NOW)
    assert records(lease(OWN, hardware=B)).heard(Version(ended, "a"), NOW, is_news=False) is None


def test_a_claimed_lease_is_never_published_over_what_its_owner_wrote_since() -> None:
    of_both, ended = records(), lease(OTHERS, State.RELEASED, expires=NOW)
    of_both.note(OTHERS, 7, Version(ended, "b"))
    of_both.put_out([lease(OTHERS)])
    assert not of_both.outbox


def test_what_the_bus_has_lost_is_published_again_whoever_owns_it() -> None:
    of_both = records()
    of_both.put_out([lease(OTHERS)])
    assert of_both.outbox == {OTHERS: lease(OTHERS)}


def test_a_claim_of_a_client_that_has_said_something_else_since_is_dropped() -> None:
    """It goes on with another address by then, which a grant of this one would release."""
    place = lab()
    held = place.obtain()
    place.desk.allocation.sharing.go_by([("a", "b")])
    sharing = place.desk.allocation.sharing
    sharing.me = next(me for me in ("a", "b") if not Sharing(me, [("a", "b")]).owns(IPv4Address(held)))
    sharing.connected = True
    (claim,) = _renewal(place, held)
    assert isinstance(claim, Claim)
    place.discover()
    settled = place.engine.settle(claim, claim.lease, place.now)
    assert not settled.replies
    assert not settled.changes
    (claim,) = _renewal(place, held)
    assert place.engine.settle(claim, claim.lease, place.now).replies


def _renewal(place: Lab, held: str) -> list[Claim]:
    request = encode(message(MessageType.REQUEST, MAC, ciaddr=IPv4Address(held)))
    source = IPv4Address(held)
    datagram = place.datagram(request, source=source, destination=place.datagram(b"").local)
    return place.engine.handle([datagram], place.now).claims
