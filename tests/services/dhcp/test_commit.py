"""Leases go to the disk in groups, in order; what depends on one is done when it is there, and only then."""

import threading
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

from services.dhcp.commit import Committer
from services.dhcp.leases import Hardware, Lease, State
from services.dhcp.store import StoreError
from tests.support.waiting import until


def lease(number: int, expires: float = 1) -> Lease:
    hardware = Hardware(1, number.to_bytes(6))
    address = IPv4Address("10.0.0.0") + number
    return Lease(address=address, hardware=hardware, subnet="s", state=State.BOUND, expires=expires)


class Disk:
    """Each sync waits until it is let go; `full` makes it fail."""

    def __init__(self) -> None:
        self.groups: list[list[Lease]] = []
        self.go = threading.Semaphore(0)
        self.full = False
        self.broken = False

    def save(self, leases: Iterable[Lease]) -> Callable[[], None]:
        group = list(leases)

        def sync() -> None:
            self.go.acquire()
            if self.full:
                raise StoreError("disk full")
            if self.broken:
                raise RuntimeError("not foreseen")
            self.groups.append(group)

        return sync


class House:
    """A committer on such a disk, and what came of each lease, in order."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.outcomes: list[tuple[int, bool]] = []
        self.told: list[bool] = []
        self.committer = Committer(self.disk.save, lambda error, _: self.told.append(error is None))

    def add(self, *leases: Lease, mark: int) -> None:
        self.committer.add(list(leases), lambda error: self.outcomes.append((mark, error is None)))

    def close(self) -> None:
        self.disk.go.release(100)
        self.committer.close()


async def test_what_comes_while_a_group_is_synced_is_the_next_group() -> None:
    house = House()
    for number in range(4):
        house.add(lease(number), mark=number)
    assert not house.outcomes
    house.disk.go.release()
    await until(lambda: len(house.outcomes) == 1, "the first group is stored")
    assert house.disk.groups == [[lease(0)]]
    house.disk.go.release()
    await until(lambda: len(house.outcomes) == 4, "the second group is stored")
    assert house.disk.groups[1] == [lease(1), lease(2), lease(3)]
    assert house.outcomes == [(number, True) for number in range(4)]
    house.close()


async def test_what_needs_no_lease_waits_for_no_sync() -> None:
    house = House()
    house.add(lease(1), mark=1)
    house.add(mark=2)
    assert house.outcomes == [(2, True)]
    house.close()


async def test_a_failed_group_is_told_and_its_leases_are_stored_with_the_next() -> None:
    house = House()
    house.disk.full = True
    house.add(lease(1), lease(2), mark=1)
    house.disk.go.release()
    await until(lambda: house.outcomes == [(1, False)], "the failure is told")
    house.add(mark=2)
    assert house.outcomes == [(1, False)], "nothing is answered while nothing can be stored"
    house.disk.full = False
    house.add(lease(1, expires=9), mark=3)
    house.disk.go.release(2)
    await until(lambda: len(house.outcomes) == 3, "all is stored")
    stored = {one.address: one for group in house.disk.groups for one in group}
    assert stored == {one.address: one for one in (lease(1, expires=9), lease(2))}
    assert house.outcomes[1:] == [(2, True), (3, True)]
    assert (house.told[0], house.told[-1]) == (False, True)
    house.close()


async def test_leases_that_cannot_be_stored_do_not_fill_the_memory() -> None:
    house = House()
    house.disk.full = True
    for number in range(20):
        house.add(lease(1, expires=number), mark=number)
        house.disk.go.release()
        await until(lambda: house.told.count(False) > number, "the failure is told")  # noqa: B023
    assert len(house.committer._leases) == 1
    house.close()


async def test_a_fault_that_nobody_foresaw_counts_as_not_stored_and_the_leases_are_stored_with_the_next() -> None:
    house = House()
    house.disk.broken = True
    house.add(lease(1), mark=1)
    house.disk.go.release()
    await until(lambda: house.outcomes == [(1, False)], "the fault is told")
    house.disk.broken = False
    house.add(lease(2), mark=2)
    house.disk.go.release()
    await until(lambda: house.outcomes[1:] == [(2, True)], "the next group is stored")
    assert house.disk.groups == [[lease(1), lease(2)]]
    house.close()
