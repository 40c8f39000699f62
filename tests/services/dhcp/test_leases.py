"""The lease table and the pool: whatever happens, no address is given twice, and nothing grows without end."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from libs.desired import AddressRange, SubnetDocument
from libs.wire.dhcp_options import MessageType
from services.dhcp.leases import IDLE, Hardware, Lease, Leases, State
from services.dhcp.pool import Pool
from tests.services.dhcp.lab import NOW, SERVER, Answer, Lab, address, machine, subnet

CLIENTS = [f"52:54:00:00:01:{number:02x}" for number in range(12)]
POOL = [AddressRange(first=IPv4Address("10.77.0.100"), last=IPv4Address("10.77.0.107"))]
RESERVED = IPv4Address("10.77.0.103")
ADDRESSES = [str(IPv4Address("10.77.0.98") + number) for number in range(12)]


class Service(RuleBasedStateMachine):
    """Twelve clients do what they like with a pool of eight addresses; the clock runs; the process is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.lab = Lab().declare(subnet(unknown="lease", pools=POOL), machine("vip", CLIENTS[0], address=RESERVED))
        self.promised: dict[str, tuple[str, float]] = {}  # address -> client, until when: what the clients were told

    def _hear(self, mac: str, answer: Answer) -> None:
        if answer.message and answer.message.type == MessageType.ACK:
            self._check_free(mac, answer.address)
            self.promised = {held: owner for held, owner in self.promised.items() if owner[0] != mac}
            self.promised[answer.address] = (mac, self.lab.now + 3600)

    def _check_free(self, mac: str, given: str) -> None:
        owner, until = self.promised.get(given, (mac, 0))
        assert owner == mac or until <= self.lab.now, f"{given} was given to {mac} and is still {owner}'s"
        assert given != str(RESERVED) or mac == CLIENTS[0]

    @rule(mac=st.sampled_from(CLIENTS), wanted=st.sampled_from(ADDRESSES), accepts=st.booleans())
    def obtain(self, mac: str, wanted: str, accepts: bool) -> None:
        offer = self.lab.discover(mac, REQUESTED_ADDRESS=address(wanted))
        if offer.message:
            self._check_free(mac, offer.address)
            if accepts:
                self._hear(mac, self.lab.select(offer.address, mac))

    @rule(mac=st.sampled_from(CLIENTS), wanted=st.sampled_from(ADDRESSES), step=st.sampled_from("srnb"))
    def ask(self, mac: str, wanted: str, step: str) -> None:
        steps: dict[str, Callable[[str, str], Answer]] = {
            "s": self.lab.select,
            "r": self.lab.reboot,
            "n": self.lab.renew,
            "b": self.lab.rebind,
        }
        self._hear(mac, steps[step](wanted, mac))

    @rule(mac=st.sampled_from(CLIENTS), wanted=st.sampled_from(ADDRESSES), declines=st.booleans())
    def give_back(self, mac: str, wanted: str, declines: bool) -> None:
        (self.lab.decline if declines else self.lab.release)(wanted, mac)
        if self.promised.get(wanted, ("", 0))[0] == mac:
            del self.promised[wanted]

    @rule(seconds=st.sampled_from([1, 59, 61, 1800, 3600, 7200]))
    def wait(self, seconds: float) -> None:
        self.lab.now += seconds

    @rule()
    def restart(self) -> None:
        """Only what was stored is left; it says the same as what was in memory."""
        before = {lease.address: lease for lease in self.lab.leases}
        assert before == self.lab.stored
        revived = Lab(fleet=self.lab.fleet, now=self.lab.now, stored=dict(self.lab.stored))
        revived.leases.load(self.lab.stored.values())
        assert {lease.address: lease for lease in revived.leases} == before
        self.lab = revived

    @invariant()
    def promises_are_kept(self) -> None:
        for held, (mac, until) in self.promised.items():
            if until > self.lab.now:
                lease = self.lab.leases.at(IPv4Address(held))
                assert lease
                assert (lease.state, lease.hardware.mac, lease.expires) == (State.BOUND, mac, until)

    @invariant()
    def counts_and_bounds_hold(self) -> None:
        leases = self.lab.leases
        records = list(leases)
        for state in (State.BOUND, State.EXPIRED, State.RELEASED, State.DECLINED):
            assert leases.count("rack1", state) == sum(record.state is state for record in records)
        bound = [record.hardware for record in records if record.state is State.BOUND]
        assert len(bound) == len(set(bound)), "a client holds two addresses of one subnet"
        assert len(records) <= 8
        assert len(leases._deadlines) <= 2 * 8 + 1


Service.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestService = Service.TestCase


# --- the table --------------------------------------------------------------------------------------------------


def lease(number: int, state: State = State.BOUND, expires: float = NOW + 60) -> Lease:
    hardware = Hardware(1, bytes((2, 0, 0, 0, 0, number)))
    return Lease(address=SERVER + number, hardware=hardware, subnet="rack1", state=state, expires=expires)


def test_the_oldest_offers_make_room() -> None:
    leases = Leases(maximum_offers=3)
    for number in range(5):
        leases.offer(SERVER + number, lease(number).hardware, "rack1", NOW)
    assert leases.offers == 3
    assert leases.offer_to(lease(1).hardware) is None
    assert leases.offer_to(lease(4).hardware)
    assert leases.take_vacated() == [("rack1", SERVER), ("rack1", SERVER + 1)]
    assert leases.take_vacated() == []


def test_renewals_and_releases_without_end_cost_no_memory() -> None:
    leases, one = Leases(), lease(1)
    for second in range(1000):
        leases.bind(replace(one, expires=NOW + second))
        if second % 3 == 0:
            leases.release(one, NOW)
    assert len(leases._deadlines) == 1


def test_the_deadline_of_a_renewed_lease_is_put_off() -> None:
    leases = Leases()
    leases.bind(lease(1, expires=NOW + 60))
    leases.bind(lease(1, expires=NOW + 120))
    assert leases.expire(NOW + 60) == []
    assert [ended.state for ended in leases.expire(NOW + 120)] == [State.EXPIRED]


def test_reclaim_begins_with_the_longest_idle_also_after_a_restart() -> None:
    leases = Leases()
    leases.load([lease(1, State.EXPIRED, NOW - 10), lease(2, State.RELEASED, NOW - 20), lease(3)])
    assert leases.longest_idle("rack1", 9) == [SERVER + 2, SERVER + 1]
    leases.put_off(SERVER + 2)
    assert leases.longest_idle("rack1", 1) == [SERVER + 1]


@pytest.mark.parametrize("state", [State.EXPIRED, State.RELEASED])
def test_idle_states_are_those_that_may_be_reclaimed(state: State) -> None:
    assert state in IDLE


# --- the pool ---------------------------------------------------------------------------------------------------


def pool(*spans: tuple[str, str], gateway: str | None = None, cidr: str = "10.0.0.0/24") -> Pool:
    ranges = [AddressRange(first=IPv4Address(first), last=IPv4Address(last)) for first, last in spans]
    at = IPv4Address(gateway) if gateway else None
    return Pool(SubnetDocument(name="s", cidr=IPv4Network(cidr), pools=ranges, gateway=at))


def everything(of: Pool) -> list[str]:
    taken = []
    while (address := of.take(lambda _: True)) is not None:
        taken.append(str(address))
    return taken


def test_a_pool_gives_its_ranges_in_order_and_then_nothing() -> None:
    both = pool(("10.0.0.20", "10.0.0.21"), ("10.0.0.10", "10.0.0.11"))
    assert everything(both) == ["10.0.0.10", "10.0.0.11", "10.0.0.20", "10.0.0.21"]
    assert len(both) == 4


def test_what_comes_back_is_given_again_once() -> None:
    one = pool(("10.0.0.10", "10.0.0.10"))
    assert everything(one) == ["10.0.0.10"]
    one.give_back(IPv4Address("10.0.0.10"))
    one.give_back(IPv4Address("10.0.0.10"))
    one.give_back(IPv4Address("10.0.0.99"))
    assert everything(one) == ["10.0.0.10"]
    one.restart()
    assert everything(one) == ["10.0.0.10"]


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=5),
    st.none() | st.integers(0, 255),
)
def test_a_pool_counts_what_it_gives_and_gives_nothing_twice(spans: list[tuple[int, int]], gateway: int | None) -> None:
    base = IPv4Address("10.0.0.0")
    texts = [(str(base + first), str(base + last)) for first, last in spans]
    some = pool(*texts, gateway=str(base + gateway) if gateway is not None else None)
    given = everything(some)
    assert len(given) == len(set(given)) == len(some)
    for text in given:
        number = int(IPv4Address(text)) - int(base)
        assert 0 < number < 255
        assert number != gateway
        assert any(first <= number <= last for first, last in spans)


def test_a_network_of_two_has_no_edges() -> None:
    """RFC 3021."""
    assert everything(pool(("10.0.0.0", "10.0.0.1"), cidr="10.0.0.0/31")) == ["10.0.0.0", "10.0.0.1"]


def test_a_loopback_network_is_a_subnet_like_others() -> None:
    assert everything(pool(("127.77.0.10", "127.77.0.11"), cidr="127.77.0.0/16")) == ["127.77.0.10", "127.77.0.11"]


def test_a_full_large_pool_answers_as_fast_as_an_empty_one() -> None:
    """Counted in looks at addresses: a search of an exhausted pool looks at none twice."""
    large, looks = pool(("10.0.0.0", "10.0.255.255"), cidr="10.0.0.0/16"), 0

    def taken(_: IPv4Address) -> bool:
        nonlocal looks
        looks += 1
        return False

    for _ in range(100):
        assert large.take(taken) is None
    assert looks == len(large)


def test_what_is_taken_is_counted_through_every_step() -> None:
    """Against a count from scratch: offers, leases, quarantines, and what becomes of them."""
    leases, watched = Leases(), {SERVER + number for number in range(1, 4)}
    leases.watch("rack1", watched)
    one, two, outside = lease(1), lease(2), lease(9)
    leases.offer(one.address, one.hardware, "rack1", NOW)
    leases.offer(outside.address, outside.hardware, "rack1", NOW)
    assert leases.taken("rack1") == 1
    leases.bind(one)
    leases.bind(outside)
    assert leases.taken("rack1") == 1
    leases.offer(one.address, one.hardware, "rack1", NOW)
    leases.withdraw(one.hardware)
    assert leases.taken("rack1") == 1, "the lease is still there"
    leases.bind(two)
    leases.decline(two, NOW)
    assert leases.taken("rack1") == 2
    leases.offer(one.address, lease(5).hardware, "rack1", NOW)
    leases.release(one, NOW)
    assert leases.taken("rack1") == 2, "the offer is still there"
    leases.watch("rack1", watched)
    assert leases.taken("rack1") == 2
    leases.withdraw(lease(5).hardware)
    leases.expire(NOW + 7200)
    assert leases.taken("rack1") == 0


def test_an_operator_ends_a_lease_and_a_quarantine() -> None:
    leases = Leases()
    leases.bind(lease(1))
    leases.bind(lease(2))
    leases.decline(lease(2), NOW)
    assert [one.state for one in leases.clear(lease(1).address, NOW)] == [State.RELEASED]
    assert [one.state for one in leases.clear(lease(2).address, NOW)] == [State.FREE]
    assert leases.clear(lease(1).address, NOW) == leases.clear(lease(2).address, NOW) == []
