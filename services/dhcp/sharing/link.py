"""The way to the other servers: one bucket, in which the records and the membership are changed by compare-and-set.

Every change of a record by this server goes to the bucket after its client has been answered (`publish`), except
where the agreement comes first (`claiming`). Whatever others write is taken over in the order of the bucket. While
this server is alone it writes no records and pays nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address

from structlog.typing import FilteringBoundLogger

from libs.bus import BusUnavailable, ConflictError, Entry, Ledger
from services.dhcp.allocation import Allocation
from services.dhcp.engine import Batch, Engine
from services.dhcp.leases import IDLE, Lease, State
from services.dhcp.sharing.claiming import Claim
from services.dhcp.sharing.merge import SharedLease, Version, version_of
from services.dhcp.sharing.party import MEMBERS, Party
from services.dhcp.sharing.records import Records

AT_ONCE = 64  # records on their way at one time
MOST_CLAIMS = 1024  # requests that wait for the bus at a time
GATHER_SECONDS = 0.005  # entries that come so close together are stored by one sync
TICK_SECONDS = 0.25
RETRY_SECONDS = 0.1
STORE_AGAIN_SECONDS = 1.0


class Link:
    """Start `run` as a task. `carry_out` stores, tells and answers what comes of a batch; whether it is stored."""

    def __init__(
        self,
        ledger: Ledger,
        party: Party,
        engine: Engine,
        allocation: Allocation,
        carry_out: Callable[[Batch], bool],
        log: FilteringBoundLogger,
    ) -> None:
        self._ledger = ledger
        self._party = party
        self._engine = engine
        self._allocation = allocation
        self._leases = allocation.leases
        self._sharing = party.sharing
        self._carry_out = carry_out
        self._log = log
        self._records = Records(self._leases, self._sharing)
        self._members = 0  # the membership's revision
        self._storing = 0  # records of others that are not on the disk yet, in so many batches
        self._claims: dict[IPv4Address, Claim] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._incoming: list[Entry | None] = []
        self._snapshot: set[str] | None = None  # the keys seen, while all of the bucket is told
        self._wake = asyncio.Event()
        self._due = asyncio.Event()
        self.told = asyncio.Event()  # all that the bucket held when this server came is known

    async def run(self) -> None:
        """Follow the others, and tell them; for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ledger.follow(self._tell, self._lost))
            group.create_task(self._publish())
            group.create_task(self._keep())

    def share(self, batch: Batch) -> None:
        """Something came of requests here: others are told, or asked."""
        if self._sharing.alone:
            return
        self._put_out(batch.changes)
        for claim in batch.claims:
            self._claim(claim)

    async def forget(self, name: str, quiet_seconds: float) -> list[str]:
        """Take servers out that will never come back. Raises BusUnavailable, ConflictError."""
        return await self._party.forget(self._ledger, name, self._members, quiet_seconds)

    # --- what others say ------------------------------------------------------------------------------------

    def _lost(self) -> None:
        self._incoming.clear()
        self._snapshot = None
        self._sharing.connected = False

    def _tell(self, entry: Entry | None) -> None:
        """Gathered for a moment, so that one sync stores all that comes together."""
        if not self._incoming:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._take_in)
        self._incoming.append(entry)

    def _take_in(self) -> None:
        entries, self._incoming = self._incoming, []
        heard: dict[IPv4Address, Lease] = {}
        for entry in entries:
            if self._snapshot is None and not self._sharing.connected:
                self._snapshot = set()
            if self._snapshot is not None and entry is not None:
                self._snapshot.add(entry.key)
            if entry is not None and entry.key != MEMBERS:
                self._take_record(entry, heard)
                continue
            # What was published before a membership was seen is here before this server goes by it.
            self._adopt(heard)
            if entry is None:
                self._all_told()
            else:
                self._take_membership(entry)
        self._adopt(heard)

    def _take_record(self, entry: Entry, heard: dict[IPv4Address, Lease]) -> None:
        try:
            address = IPv4Address(entry.key)
            theirs = version_of(entry.key, entry.document)
        except ValueError as error:
            self._log.error("a record of another server was left aside", key=entry.key, error=str(error)[:200])
            return
        before = self._records.revisions.get(address, 0)
        if self._sharing.connected and entry.revision <= before:
            return  # an echo of what an answer to us has told
        self._records.note(address, entry.revision, theirs)
        if self._sharing.alone or (self._sharing.connected and theirs and theirs.by == self._sharing.me):
            return
        if theirs is None:
            self._put_out(filter(None, [self._leases.at(address)]))
            return
        if address in heard:
            self._adopt(heard)  # what comes now builds on that
        is_news = self._sharing.connected or before not in (0, entry.revision)
        if lease := self._records.heard(theirs, time.time(), is_news=is_news):
            heard[address] = lease

    def _all_told(self) -> None:
        told, self._snapshot = self._snapshot or set(), None
        self._records.keep_only({IPv4Address(key) for key in told - {MEMBERS} if _is_address(key)})
        self._sharing.connected = True
        self._reconcile()
        self._allocation.restart()
        if MEMBERS not in told:
            self._take_membership(Entry(MEMBERS, None, 0))
        self.told.set()
        self._wake.set()
        self._due.set()

    def _reconcile(self) -> None:
        if not self._sharing.alone:
            self._adopt({lease.address: lease for lease in self._records.reconcile(time.time())})
            self._wake.set()

    def _put_out(self, leases: Iterable[Lease]) -> None:
        self._records.put_out(leases)
        if self._records.outbox:
            self._wake.set()

    def _take_membership(self, entry: Entry) -> None:
        self._members = entry.revision
        self._due.set()
        was_alone = self._sharing.alone
        if self._party.learn(entry.document, time.time()):
            if was_alone:
                self._reconcile()
            self._go_by_it()

    def _go_by_it(self) -> None:
        self._allocation.restart()
        if self._sharing.alone:
            self._records.outbox.clear()
            overdue, self._sharing.overdue = self._sharing.overdue, set()
            self._leases.adopt(filter(None, map(self._leases.at, overdue)))  # they end by their time again

    def _adopt(self, heard: dict[IPv4Address, Lease]) -> None:
        if heard:
            for lease in heard.values():
                self._warn_of_a_double(lease)
            self._store(list(heard.values()))
            heard.clear()

    def _store(self, leases: list[Lease]) -> None:
        """No membership is agreed to before what the others told is on the disk."""
        if not self._carry_out(self._engine.adopt(leases)):  # the server keeps them, and stores them with the next
            self._storing += 1
            asyncio.get_running_loop().call_later(STORE_AGAIN_SECONDS, self._store_again, leases)
        self._due.set()

    def _store_again(self, leases: list[Lease]) -> None:
        self._storing -= 1
        self._store([lease for lease in leases if self._leases.at(lease.address) == lease])

    def _warn_of_a_double(self, theirs: Lease) -> None:
        mine, now = self._leases.at(theirs.address), time.time()
        if mine is None or mine.hardware == theirs.hardware:
            return
        if all(lease.state is State.BOUND and lease.expires > now for lease in (mine, theirs)):
            self._log.error("two clients were given one address", ip=str(mine.address), macs=[mine.hardware.mac])

    # --- what others are told -------------------------------------------------------------------------------

    async def _publish(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._records.outbox and self._sharing.connected and not self._sharing.alone:
                some = list(self._records.outbox.values())[:AT_ONCE]
                if not all(await asyncio.gather(*map(self._publish_one, some))):
                    await asyncio.sleep(RETRY_SECONDS)
            self._due.set()

    async def _publish_one(self, lease: Lease) -> bool:
        """Whether the bus has answered."""
        if self._records.outbox.get(lease.address) != lease:
            return True  # since it was its turn, something newer was heard
        try:
            is_there = await self._compare_and_put(lease)
        except BusUnavailable:
            return False
        if is_there:
            self._records.published(lease)
        return True

    async def _compare_and_put(self, lease: Lease, revision: int | None = None) -> bool:
        """Whether the bucket has the lease now; else what others wrote meanwhile is known. Raises BusUnavailable.

        `revision`: the bucket's when the lease was decided upon; by default that is now.
        """
        key, version = str(lease.address), Version(lease, self._sharing.me)
        if self._records.known.get(lease.address) == version:
            return True
        document = SharedLease.of(lease, self._sharing.me).model_dump(mode="json")
        before = self._records.revisions.get(lease.address, 0) if revision is None else revision
        try:
            revision = await self._ledger.compare_and_put(key, document, before)
        except ConflictError:
            return await self._is_there(version)
        if revision > self._records.revisions.get(lease.address, 0):
            self._records.note(lease.address, revision, version)
        # The answer may come behind the news that another server has written since.
        return self._records.known.get(lease.address) == version

    async def _is_there(self, ours: Version) -> bool:
        """After a conflict: whether it was with ourselves, as an answer of the bus was lost."""
        address = ours.lease.address
        entry = await self._ledger.get(str(address))
        try:
            theirs = version_of(entry.key, entry.document)
        except ValueError:
            theirs = None  # what is no record is written over
        if entry.revision >= self._records.revisions.get(address, 0):
            self._records.note(address, entry.revision, theirs)
            if theirs and theirs != ours and (lease := self._records.heard(theirs, time.time(), is_news=True)):
                self._adopt({address: lease})
        return theirs == ours

    # --- what others are asked ------------------------------------------------------------------------------

    def _claim(self, claim: Claim) -> None:
        """Ask once; a request that is repeated meanwhile takes the place of the first."""
        address = claim.lease.address
        under_way = self._claims.get(address)
        if under_way is None and len(self._claims) < MOST_CLAIMS:
            self._claims[address] = claim
            revision = self._records.revisions.get(address, 0)
            task = asyncio.create_task(self._ask(claim, revision), name="claim")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif under_way and under_way.lease.hardware == claim.lease.hardware:
            self._claims[address] = replace(under_way, datagram=claim.datagram)
        else:
            self._engine.abandon(claim)

    async def _ask(self, claim: Claim, revision: int) -> None:
        address = claim.lease.address
        try:
            is_agreed = await self._compare_and_put(claim.lease, revision)
        except BusUnavailable:
            self._engine.abandon(self._claims.pop(address))  # the client repeats its request
            return
        latest = self._claims.pop(address)
        self._carry_out(self._engine.settle(latest, claim.lease if is_agreed else None, time.time()))

    # --- time -----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Leases of ours end, with the bus' agreement; the membership is kept up."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._due.wait()
            self._due.clear()
            if self._sharing.connected:
                try:
                    await self._keep_connected()
                except (BusUnavailable, ConflictError) as error:
                    self._log.debug("the other servers cannot be told", error=str(error))

    @property
    def _is_told(self) -> bool:
        """Whether the bus has all records of this server, and its disk those of the others."""
        return not self._records.outbox and not self._storing

    async def _keep_connected(self) -> None:
        if await self._party.keep(self._ledger, self._members, is_told=self._is_told):
            self._go_by_it()
        if self._sharing.alone:
            await self._forget_records()
        else:
            await self._end_overdue()

    async def _end_overdue(self) -> None:
        now = time.time()
        late = []
        for address in list(self._sharing.overdue):
            lease = self._leases.at(address)
            if lease is None or lease.state in IDLE or lease.expires > now:
                self._sharing.overdue.discard(address)
            elif self._sharing.owns(address) and address not in self._records.outbox:
                late.append(lease)
        for first in range(0, len(late), AT_ONCE):
            await asyncio.gather(*map(self._end, late[first : first + AT_ONCE]))

    async def _end(self, lease: Lease) -> None:
        if self._leases.at(lease.address) != lease:
            return  # extended since it was found overdue
        over = replace(lease, state=State.EXPIRED if lease.state is State.BOUND else State.FREE)
        is_there = await self._compare_and_put(over)
        now_here = self._leases.at(lease.address)
        if is_there and now_here == lease:
            self._carry_out(self._engine.end(over, time.time()))
        elif is_there and now_here:
            self._put_out([now_here])  # renewed meanwhile

    async def _forget_records(self) -> None:
        """Alone again: what the bucket says of leases grows stale, and nobody needs it."""
        for address in list(self._records.known):
            if self._sharing.alone:
                await self._ledger.delete(str(address))
                self._records.known.pop(address, None)


def _is_address(key: str) -> bool:
    with contextlib.suppress(AddressValueError):
        IPv4Address(key)
        return True
    return False
