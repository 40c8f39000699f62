"""What the bucket says of each address, what this server has changed since, and which of both stands. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address

from services.dhcp.leases import Lease, Leases, State
from services.dhcp.sharing.merge import Version, stands
from services.dhcp.sharing.partition import Sharing, owner


class Records:
    """`known` and `revisions` follow the bucket; `outbox` holds what is to be published."""

    def __init__(self, leases: Leases, sharing: Sharing) -> None:
        self._leases = leases
        self._sharing = sharing
        self.known: dict[IPv4Address, Version] = {}
        self.revisions: dict[IPv4Address, int] = {}
        self.outbox: dict[IPv4Address, Lease] = {}

    def put_out(self, leases: Iterable[Lease]) -> None:
        """The bucket is to have these, where it has them not."""
        for lease in leases:
            known = self.known.get(lease.address)
            if known is not None and (known.lease == lease or self._was_claimed(lease)):
                self.outbox.pop(lease.address, None)
            else:
                self.outbox[lease.address] = lease
                self._sharing.ended.discard(lease.address)

    def _was_claimed(self, lease: Lease) -> bool:
        """Whether it is held in another's part: the bus agreed to it first, and what it says since is newer."""
        return lease.state is State.BOUND and not self._sharing.may_have_owned(lease.address)

    def published(self, lease: Lease) -> None:
        """The bucket has it; unless it was changed once more, that is the last word."""
        address = lease.address
        if self.outbox.get(address) == lease:
            del self.outbox[address]
            self.note(address, self.revisions[address], self.known.get(address))

    def note(self, address: IPv4Address, revision: int, version: Version | None) -> None:
        """The bucket says this of an address."""
        self.revisions[address] = revision
        if version is None:
            self.known.pop(address, None)
        else:
            self.known[address] = version
        unpublished = self.outbox.get(address)
        is_last_word = unpublished is None or (version is not None and unpublished == version.lease)
        if version and version.lease.state is not State.BOUND and is_last_word:
            self._sharing.ended.add(address)
        else:
            self._sharing.ended.discard(address)

    def keep_only(self, told: set[IPv4Address]) -> None:
        """The bucket has told all that it holds: what is not among it, it has lost."""
        for address in self.revisions.keys() - told:
            del self.revisions[address]
            self.known.pop(address, None)
            self._sharing.ended.discard(address)

    def heard(self, theirs: Version, now: float, *, is_news: bool) -> Lease | None:
        """What is to be taken over of it. `is_news`: whoever wrote it knew all that this server has published.

        Of another's part the bus had every lease before this server's disk. What the disk says after a restart is older
        than the bus then, and may have ended there meanwhile.
        """
        address = theirs.lease.address
        mine, unpublished = self._leases.at(address), self.outbox.get(address)
        if theirs.lease == mine or (mine is None and unpublished is None and theirs.lease.state is State.FREE):
            return None
        ours = unpublished or (None if is_news else mine)
        if ours is not None and self._was_claimed(ours):
            ours = None
        if ours is not None and self._stands(theirs, ours, now) is not theirs:
            return None
        self.outbox.pop(address, None)
        return theirs.lease

    def reconcile(self, now: float) -> list[Lease]:
        """Where bucket and table differ, the one or the other gives way; what is to be taken over."""
        heard = [self.heard(version, now, is_news=False) for version in self.known.values()]
        adopted = [lease for lease in heard if lease is not None]
        settled = {lease.address for lease in adopted}
        self.put_out(lease for lease in self._leases if lease.address not in settled)
        return adopted

    def _stands(self, theirs: Version, mine: Lease, now: float) -> Version:
        members = self._sharing.history[-1] if self._sharing.history else (self._sharing.me,)
        return stands(Version(mine, self._sharing.me), theirs, owner(mine.address, members), now)
