"""What several servers agree on, as pure functions: whose an address is, who takes part, which record stands."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.dhcp.leases import Hardware, Lease, State
from services.dhcp.sharing import identity
from services.dhcp.sharing.membership import History, Member, Membership, followed, joined, renewed, seen, without
from services.dhcp.sharing.merge import SharedLease, Version, stands
from services.dhcp.sharing.partition import CLOCK_SKEW, LEAST_SECONDS, Sharing, owner

NOW = 1_900_000_000.0
POOL = [IPv4Address("10.77.0.100") + n for n in range(24)]
A, B = Hardware(1, b"\x52\x54\0\0\0\1"), Hardware(1, b"\x52\x54\0\0\0\2")


def lease(state: State = State.BOUND, hardware: Hardware = A, expires: float = NOW + 600) -> Lease:
    return Lease(address=POOL[0], hardware=hardware, subnet="rack1", state=state, expires=expires)


# --- partition ------------------------------------------------------------------------------------------------------


@given(st.sets(st.text(min_size=1, max_size=4), min_size=1, max_size=5))
def test_every_address_has_one_owner_and_the_parts_differ_by_one_at_most(names: set[str]) -> None:
    members = tuple(sorted(names))
    parts = {me: [address for address in POOL if Sharing(me, [members]).owns(address)] for me in members}
    assert sorted(address for part in parts.values() for address in part) == POOL
    sizes = [len(part) for part in parts.values()]
    assert max(sizes) - min(sizes) <= 1


def test_a_server_alone_may_do_all_and_one_that_takes_part_in_nothing_owns_nothing() -> None:
    alone, none = Sharing("a"), Sharing("a", [])
    assert alone.alone
    assert all(map(alone.owns, POOL))
    assert alone.margin == 0
    assert not none.alone
    assert not any(map(none.owns, POOL))


def own(sharing: Sharing) -> IPv4Address:
    return next(address for address in POOL if sharing.owns(address))


def others(sharing: Sharing) -> IPv4Address:
    return next(address for address in POOL if not sharing.owns(address))


@pytest.mark.parametrize(
    ("record", "given"),
    [
        (None, True),
        (lease(State.BOUND, A), True),
        (lease(State.BOUND, B), False),
        (lease(State.BOUND, B, NOW - 600), False),  # the other server may have extended it
        (lease(State.EXPIRED, B), True),  # it became that with the agreement of the bus
        (lease(State.RELEASED, A), True),
        (lease(State.RELEASED, B), False),  # until the bus knows
    ],
)
def test_of_its_part_a_server_gives_what_nobody_else_can_think_to_be_held(record: Lease | None, given: bool) -> None:
    sharing = Sharing("a", [("a", "b")])
    assert sharing.may_give(own(sharing), A, record, is_kept=False) is given
    sharing.ended.add(own(sharing))
    if record and record.state is State.RELEASED:
        assert sharing.may_give(own(sharing), A, record, is_kept=False)


def test_of_another_part_a_server_gives_what_the_client_holds_and_only_with_the_bus() -> None:
    sharing = Sharing("a", [("a", "b")])
    for connected in (False, True):
        sharing.connected = connected
        address = others(sharing)
        assert sharing.must_claim(address)
        assert sharing.may_give(address, A, lease(State.BOUND, A), is_kept=False) is connected
        for record in (None, lease(State.BOUND, B), lease(State.EXPIRED, A), lease(State.RELEASED, A)):
            assert not sharing.may_give(address, A, record, is_kept=False)
        assert sharing.may_give(address, A, None, is_kept=True)


def test_without_the_bus_no_more_is_promised_than_the_owner_knows_of() -> None:
    sharing = Sharing("a", [("a", "b")])
    assert sharing.confirmed_seconds(lease(expires=NOW + 600), NOW) == 600 - CLOCK_SKEW
    assert sharing.confirmed_seconds(lease(expires=NOW + LEAST_SECONDS), NOW) == 0


# --- membership -----------------------------------------------------------------------------------------------------


class Servers(RuleBasedStateMachine):
    """Servers that read and write the membership in any order, with any delay; two never own one address.

    A server that was forgotten never comes back, as its operator has promised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bus = Membership()
        self.histories: dict[str, History] = {}
        self.now = NOW
        self.gone: set[str] = set()

    @initialize()
    def first(self) -> None:
        self.histories["s0"] = ()

    @rule()
    def another_server_comes(self) -> None:
        if len(self.histories) < 5:
            self.histories[f"s{len(self.histories)}"] = ()

    @rule(number=st.integers(0, 4))
    def one_reads(self, number: int) -> None:
        me = f"s{number}"
        if me in self.histories and me not in self.gone:
            self.histories[me] = followed(self.histories[me], self.bus, me, self.now)

    @rule(number=st.integers(0, 4))
    def one_writes(self, number: int) -> None:
        """Compare-and-set: it has read what it changes, and goes by it."""
        self.one_reads(number)
        me = f"s{number}"
        if me not in self.histories or me in self.gone:
            return
        if me not in self.bus.members:
            self.bus = joined(self.bus, me, me) or self.bus
        else:
            self.bus = seen(self.bus, me, ())

    @rule(number=st.integers(0, 4))
    def an_operator_forgets_one(self, number: int) -> None:
        me = f"s{number}"
        if me in self.bus.members and len(self.bus.members) > 1:
            self.gone.add(me)
            self.bus = without(self.bus, me, self.now + 100)

    @rule()
    def time_passes(self) -> None:
        self.now += 60

    @invariant()
    def no_address_has_two_owners(self) -> None:
        living = [me for me in self.histories if me not in self.gone]
        for address in POOL:
            owners = [me for me in living if Sharing(me, self.histories[me]).owns(address)]
            assert len(owners) <= 1, (address, self.histories)


TestServers = Servers.TestCase


def settle(membership: Membership) -> Membership:
    for me in membership.members:
        membership = seen(membership, me, ())
    return membership


def test_a_second_server_owns_nothing_before_the_first_has_agreed() -> None:
    first = settle(joined(Membership(), "a", "left") or Membership())
    both = joined(first, "b", "right")
    assert both
    assert both.waits_for == ["left", "right"]
    assert followed((("a",),), both, "a", NOW) == (("a",), ("a", "b"))
    assert followed((), both, "b", NOW) == ()
    assert joined(both, "c", "third") is None, "one change at a time"
    assert followed((("a",), ("a", "b")), settle(both), "a", NOW) == (("a", "b"),)
    assert followed((), settle(both), "b", NOW) == (("a", "b"),)


def test_the_part_of_a_forgotten_server_rests_until_its_leases_have_run_out() -> None:
    both = settle(Membership(epoch=4, members={"a": Member(name="left"), "b": Member(name="right")}))
    left = settle(without(both, "b", NOW + 600))
    assert followed((("a", "b"),), left, "a", NOW) == (("a", "b"), ("a",))
    assert followed((("a", "b"), ("a",)), left, "a", NOW + 600) == (("a",),)
    assert followed((("a", "b"),), left, "b", NOW) == (), "should it come back, it owns nothing"


def test_a_bus_that_lost_the_membership_is_told_it_again() -> None:
    both = settle(Membership(epoch=7, members={"a": Member(name="left"), "b": Member(name="right")}))
    again = renewed(Membership(epoch=1, members={"c": Member(name="new", seen=1)}), both)
    assert (again.epoch, again.ids, again.is_settled) == (8, ("a", "b", "c"), False)


def test_the_identity_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "sharing.json"
    mine = identity.load(path)
    assert identity.load(path) == mine
    changed = mine.model_copy(update={"history": (("a", "b"), ("a",)), "membership": Membership(epoch=3)})
    identity.save(path, changed)
    assert identity.load(path) == changed
    path.write_text("{")
    with pytest.raises(identity.IdentityError, match="which addresses are this server's own"):
        identity.load(path)


# --- merge ----------------------------------------------------------------------------------------------------------

LEASES = st.builds(
    lease,
    st.sampled_from(list(State)),
    st.sampled_from([A, B]),
    st.integers(-3, 3).map(lambda minutes: NOW + 60 * minutes),
)
VERSIONS = st.builds(Version, LEASES, st.sampled_from(["a", "b"]))


@given(VERSIONS, VERSIONS, st.sampled_from(["a", "b"]))
def test_which_record_stands_does_not_depend_on_who_asks(one: Version, other: Version, whose: str) -> None:
    standing = stands(one, other, whose, NOW)
    assert standing == stands(other, one, whose, NOW)
    assert stands(standing, standing, whose, NOW) == standing


@given(VERSIONS, VERSIONS, st.sampled_from(["a", "b"]))
def test_what_a_client_was_promised_is_never_shortened(one: Version, other: Version, whose: str) -> None:
    standing = stands(one, other, whose, NOW)
    for version in (one, other):
        runs = version.lease.state is State.BOUND and version.lease.expires > NOW
        if runs and standing.lease.hardware == version.lease.hardware and standing.lease.state is State.BOUND:
            assert standing.lease.expires >= version.lease.expires
        if runs:
            assert standing.lease.state in (State.BOUND, State.DECLINED)


def test_of_two_clients_the_owners_stands() -> None:
    mine, theirs = Version(lease(hardware=A), "a"), Version(lease(hardware=B, expires=NOW + 9999), "b")
    assert stands(mine, theirs, "a", NOW) is mine
    assert stands(mine, theirs, "b", NOW) is theirs


@pytest.mark.parametrize(
    ("standing", "other"),
    [
        (lease(State.DECLINED), lease(State.BOUND)),
        (lease(State.BOUND), lease(State.RELEASED, expires=NOW + 5000)),
        (lease(State.BOUND, expires=NOW + 5000), lease(State.BOUND)),
        (lease(State.BOUND), lease(State.EXPIRED, B, NOW + 5000)),
        (lease(State.RELEASED, expires=NOW - 60), lease(State.BOUND, expires=NOW - 1)),
        (lease(State.EXPIRED, B, NOW - 1), lease(State.EXPIRED, A, NOW - 60)),
    ],
)
def test_the_rules_of_merging(standing: Lease, other: Lease) -> None:
    for one, two in (("a", "b"), ("b", "a")):
        assert stands(Version(standing, one), Version(other, two), "a", NOW).lease is standing


@given(LEASES, st.binary(max_size=9) | st.none(), st.sampled_from([None, "4c4c4544-0000"]))
def test_a_record_comes_back_from_the_bus_as_it_was(record: Lease, client_id: bytes | None, uuid: str | None) -> None:
    full = replace(record, client_id=client_id, uuid=uuid)
    document = SharedLease.of(full, "a").model_dump(mode="json")
    assert SharedLease.model_validate(document).lease == full


def test_owners_follow_the_order_of_identities() -> None:
    assert [owner(IPv4Address(n), ("a", "b", "c")) for n in range(4)] == ["a", "b", "c", "a"]
