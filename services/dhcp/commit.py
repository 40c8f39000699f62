"""Leases go to the disk in groups: while one group is being synced, the next one gathers.

A sync takes about as long as twenty answers take to be worked out. It runs in a thread; all else stays in the event
loop, so that order is simple to see: groups are written one after the other, each holds what came in while the one
before it was synced, and what depends on a group is done when its sync has returned, and in no other case.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter

from services.dhcp.leases import Lease
from services.dhcp.store import StoreError

# Writes leases, and returns what syncs them, to be called in another thread. Both raise StoreError.
Save = Callable[[Iterable[Lease]], Callable[[], None]]
# Hears None when the leases are stored, else why they are not yet.
Outcome = Callable[[StoreError | None], None]


class Committer:
    """Stores leases by `save`. `told` hears of each group's outcome, and how many seconds it took."""

    def __init__(self, save: Save, told: Callable[[StoreError | None, float], None]) -> None:
        self._save = save
        self._told = told
        self._thread = ThreadPoolExecutor(1, "lease sync")
        self._leases: list[Lease] = []
        self._outcomes: list[Outcome] = []
        self._is_syncing = False
        self._is_failing = False

    def add(self, leases: list[Lease], outcome: Outcome) -> None:
        """Store leases. What needs nothing stored is done at once, unless nothing can be stored at present.

        Leases whose group failed are kept, and stored with the next; `outcome` is told once, of the first attempt.
        """
        if not leases and not self._is_failing:
            outcome(None)
            return
        self._leases += leases
        self._outcomes.append(outcome)
        if not self._is_syncing:
            self._start()

    def close(self) -> None:
        """Wait for the sync that is under way."""
        self._thread.shutdown()

    def _start(self) -> None:
        leases, self._leases = self._leases, []
        outcomes, self._outcomes = self._outcomes, []
        began = perf_counter()
        try:
            sync = self._save(leases)
        except StoreError as error:
            self._end(leases, outcomes, began, error)
            return
        self._is_syncing = True
        syncing = asyncio.get_running_loop().run_in_executor(self._thread, sync)
        syncing.add_done_callback(partial(self._synced, leases, outcomes, began))

    def _synced(
        self, leases: list[Lease], outcomes: list[Outcome], began: float, syncing: "asyncio.Future[None]"
    ) -> None:
        self._is_syncing = False
        if syncing.cancelled():
            return
        fault = syncing.exception()
        # Whatever went wrong, these leases are not known to be stored, and nobody is told that they are.
        error = fault if fault is None or isinstance(fault, StoreError) else StoreError(f"the sync failed: {fault!r}")
        self._end(leases, outcomes, began, error)
        if self._outcomes and not self._is_syncing:
            self._start()

    def _end(self, leases: list[Lease], outcomes: list[Outcome], began: float, error: StoreError | None) -> None:
        self._is_failing = error is not None
        if error:
            # Of each address only the latest record counts, so that a full disk does not fill the memory.
            self._leases = list({lease.address: lease for lease in [*leases, *self._leases]}.values())
        self._told(error, perf_counter() - began)
        for outcome in outcomes:
            outcome(error)
