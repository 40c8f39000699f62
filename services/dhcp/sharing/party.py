"""This server among the others: it joins, agrees, and says who is waited for."""

import asyncio
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from libs.bus import Ledger
from services.dhcp.sharing import identity
from services.dhcp.sharing.membership import Membership, followed, joined, renewed, seen, without
from services.dhcp.sharing.partition import Sharing

MEMBERS = "members"  # the key of the membership, beside those of the records


class Party:
    """What it goes by is on the disk before it says that it has seen it."""

    def __init__(
        self,
        path: Path,
        name: str,
        sharing: Sharing,
        own: Callable[[], Iterable[IPv4Address]],
        log: FilteringBoundLogger,
    ) -> None:
        """Raises IdentityError."""
        self._path = path
        self._identity = identity.load(path)
        self._name = name
        self._own = own
        self._log = log
        self._told = ""
        self._bus_has: Membership | None = None  # as it was told last
        self.joined = asyncio.Event()  # all is done that this server can do to take part
        self.sharing = sharing
        sharing.me = self._identity.id
        sharing.go_by(self._identity.history)
        self._look()

    @property
    def membership(self) -> Membership:
        """What was known last."""
        return self._identity.membership

    def _look(self) -> None:
        members, me = self.membership.members, self.sharing.me
        others = [member for key, member in members.items() if key != me]
        self.sharing.peers = frozenset(address for member in others for address in member.addresses)
        if self.sharing.history or (me in members and members[me].seen == self.membership.epoch):
            self.joined.set()

    @property
    def detail(self) -> str:
        """What stands in the way of this server's taking part; "" where nothing does."""
        if self.sharing.history:
            return ""
        waits = [name for name in self.membership.waits_for if name != self._name]
        if self.sharing.me in self.membership.members and waits:
            return (
                f"gives no addresses of its own until {', '.join(waits)} agrees to share them; a server that is gone"
                f" for good must be forgotten by an operator"
            )
        return "waiting for the bus, to learn which other servers there are"

    def learn(self, document: dict[str, Any] | None, now: float) -> bool:
        """The bus says this; whether what the server goes by has changed. Raises IdentityError."""
        try:
            found = Membership.model_validate(document or {})
        except ValidationError as error:
            self._log.error("the membership of the dhcp servers cannot be read", error=str(error)[:200])
            return False
        self._bus_has = found
        if found.epoch < self.membership.epoch:
            return False  # the bus has lost the last one, which `keep` brings back
        history = followed(self.sharing.history, found, self.sharing.me, now)
        if (history, found) == (self.sharing.history, self.membership):
            return False
        self._identity = identity.save(
            self._path, identity.Identity(id=self.sharing.me, history=history, membership=found)
        )
        is_new = history != self.sharing.history
        self.sharing.go_by(history)
        self._look()
        if is_new:
            names = sorted(member.name for member in found.members.values())
            self._log.info("shares its subnets", servers=names, settled=found.is_settled)
        return is_new

    async def keep(self, ledger: Ledger, revision: int, *, is_told: bool) -> bool:
        """Do what is to be done next; whether what the server goes by has changed.

        `is_told`: the bus has all records of this server. Raises BusUnavailable, ConflictError.
        """
        wanted = self._next(is_told=is_told)
        if wanted is not None:
            await ledger.compare_and_put(MEMBERS, wanted.model_dump(mode="json"), revision)
            return False
        # A membership may come into force by time alone.
        return self._bus_has is not None and self.learn(self._bus_has.model_dump(mode="json"), time.time())

    def _next(self, *, is_told: bool) -> Membership | None:
        found, me = self._bus_has, self.sharing.me
        if found is None:
            return None
        if found.epoch < self.membership.epoch:
            return renewed(found, self.membership)
        if me not in found.members:
            return joined(found, me, self._name)
        mine, own = found.members[me], tuple(sorted(self._own()))
        if mine.seen != found.epoch:
            return seen(found, me, own) if is_told else None
        return seen(found, me, own) if mine.addresses != own else None

    async def forget(self, ledger: Ledger, name: str, revision: int, quiet_seconds: float) -> list[str]:
        """Take out the members of a name or identity, but not this server. Raises BusUnavailable, ConflictError."""
        changed = self._bus_has or Membership()
        gone: list[str] = []
        for key, member in list(changed.members.items()):
            if name in (key, member.name) and key != self.sharing.me:
                changed, gone = without(changed, key, time.time() + quiet_seconds), [*gone, key]
        if gone:
            await ledger.compare_and_put(MEMBERS, changed.model_dump(mode="json"), revision)
        return gone
