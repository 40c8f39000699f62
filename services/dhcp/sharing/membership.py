"""How servers come and go, as one document that each changes by compare-and-set. Pure.

A new membership (`epoch`) is settled when every member has seen it, that is: has put it on its disk and has published
all its leases. Until then each server goes by the old membership *and* the new one, and owns only what both make its
own. Two servers therefore never own the same address: of any two, one goes (among others) by the latest settled
membership that the other goes by. A member that is gone for good is taken out by an operator; what was its own is
given to nobody before the leases that it may have given unheard have run out (`quiet_until`).
"""

from collections.abc import Iterable
from ipaddress import IPv4Address

from pydantic import Field

from libs.desired import Document
from services.dhcp.sharing.partition import Members

History = tuple[Members, ...]


class Member(Document):
    """One server: its name for operators, the addresses that it answers by, and the last epoch that it has seen."""

    name: str
    addresses: tuple[IPv4Address, ...] = ()
    seen: int = 0


class Membership(Document):
    """All servers, by identity. `quiet_until` is Unix time in seconds."""

    epoch: int = 0
    members: dict[str, Member] = Field(default_factory=dict)
    quiet_until: float = 0.0

    @property
    def ids(self) -> Members:
        """The members in the order in which addresses are dealt out."""
        return tuple(sorted(self.members))

    @property
    def is_settled(self) -> bool:
        """Whether every member goes by it."""
        return bool(self.members) and not self.waits_for

    @property
    def waits_for(self) -> list[str]:
        """The names of those that have not seen it."""
        return sorted(member.name for member in self.members.values() if member.seen != self.epoch)


def joined(membership: Membership, me: str, name: str) -> Membership | None:
    """With this server among the members; None while another change is under way."""
    if membership.members and not membership.is_settled:
        return None
    return _changed(membership, membership.members | {me: Member(name=name)})


def without(membership: Membership, gone: str, quiet_until: float) -> Membership:
    """An operator says that a member will never come back."""
    left = {key: member for key, member in membership.members.items() if key != gone}
    changed = _changed(membership, left)
    return changed.model_copy(update={"quiet_until": max(quiet_until, membership.quiet_until)})


def renewed(found: Membership, remembered: Membership) -> Membership:
    """The bus has forgotten a membership that this server goes by: all that both name, to be seen anew."""
    latest = max(found, remembered, key=lambda membership: membership.epoch)
    return _changed(latest, remembered.members | found.members)


def seen(membership: Membership, me: str, addresses: Iterable[IPv4Address]) -> Membership:
    """This server goes by it, and answers by these addresses."""
    mine = membership.members[me].model_copy(update={"seen": membership.epoch, "addresses": tuple(sorted(addresses))})
    return membership.model_copy(update={"members": membership.members | {me: mine}})


def followed(history: History, membership: Membership, me: str, now: float) -> History:
    """What a server goes by once it knows of a membership."""
    ids = membership.ids
    if me not in ids:
        return ()
    if membership.is_settled and now >= membership.quiet_until:
        return (ids,)
    if not history or history[-1] == ids:
        return history
    return (*history, ids)


def _changed(membership: Membership, members: dict[str, Member]) -> Membership:
    unseen = {key: member.model_copy(update={"seen": 0}) for key, member in members.items()}
    return membership.model_copy(update={"epoch": membership.epoch + 1, "members": unseen})
