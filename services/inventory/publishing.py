"""Keeps the buckets of desired state as the database wants them: after every change, and whatever else wrote there."""

import asyncio
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from structlog.typing import FilteringBoundLogger

from libs.bus import Bus
from libs.desired import MACHINES, SUBNETS
from services.inventory.chronicle import Effects
from services.inventory.desired import Catalogue, machine_document, subnet_document
from services.inventory.ledger import Ledger, Work
from services.inventory.repository import fleet, installs
from services.inventory.repository.database import Conflict, DatabaseUnavailable, Session
from services.inventory.resources.fleet import KINDS

RETRY = 0.5  # seconds until a database that is away is tried again
Documents = dict[str, dict[str, Any] | None]


def catalogue(session: Session) -> Catalogue:
    """What machines are made of, as it stands."""
    return Catalogue(
        site=fleet.site(session),
        images={name: stored.resource for name, stored in fleet.resources(session, "images").items()},
        profiles={name: stored.resource for name, stored in fleet.resources(session, "profiles").items()},
    )


def machine_documents(session: Session, names: Iterable[str] | None) -> Documents:
    """The documents of these machines, or of all; None for one that is no more."""
    asked = list(names) if names is not None else None
    stored = fleet.machines(session, asked)
    latest = installs.by_id(session, (s.install_id for s in stored.values() if s.install_id))
    made_of = catalogue(session)
    found: Documents = dict.fromkeys(asked or ())
    for name, machine in stored.items():
        document = machine_document(machine.resource, made_of, latest.get(machine.install_id or ""))
        found[name] = document.model_dump(mode="json")
    return found


def subnet_documents(session: Session) -> Documents:
    """The documents of all subnets."""
    stored = fleet.resources(session, "subnets")
    return {name: subnet_document(subnet.resource).model_dump(mode="json") for name, subnet in stored.items()}


class _Bucket:
    """One bucket: what it should hold, what it holds, and the writer that makes these the same."""

    def __init__(self, bus: Bus, bucket: str, path: Path) -> None:
        self.wanted: dict[str, dict[str, Any]] | None = None  # not known until the database was read
        self.keeps_strangers = False
        self.writer = bus.writer(bucket)
        self.replica = bus.replica(bucket, path, self._seen)

    def set(self, documents: Documents, *, whole: bool) -> None:
        """These keys should hold these documents; no other key should hold any, if they are the `whole` bucket."""
        wanted = self.wanted = self.wanted if self.wanted is not None else {}
        gone: Documents = dict.fromkeys(wanted.keys() - documents.keys()) if whole else {}
        for key, document in {**documents, **gone}.items():
            if wanted.get(key) == document and self.replica.get(key) == document:
                continue
            if document is None:
                wanted.pop(key, None)
            else:
                wanted[key] = document
            self.writer.set(key, document)

    def reconcile(self) -> None:
        """The bucket was seen as a whole: what differs is written, what nobody wants is deleted."""
        for key in {*(self.wanted or {}), *self.replica.items()}:
            self._seen(key, self.replica.get(key))

    def _seen(self, key: str, document: dict[str, Any] | None) -> None:
        if self.wanted is None or document == self.wanted.get(key):
            return
        if key in self.wanted or not self.keeps_strangers:
            self.writer.set(key, self.wanted.get(key))


class Publisher:
    """Start it as a task (`run`) once the stream is folded; `follow` listens to transactions."""

    def __init__(self, ledger: Ledger, bus: Bus, folder: Path, log: FilteringBoundLogger) -> None:
        self._ledger = ledger
        self._log = log
        self._machines = _Bucket(bus, MACHINES, folder / "machines.replica")
        self._subnets = _Bucket(bus, SUBNETS, folder / "subnets.replica")
        self._names: set[str] = set()
        self._all = False
        self._wake = asyncio.Event()
        self._loaded = asyncio.Event()

    def follow(self, effects: Effects) -> None:
        """Note what a transaction changed."""
        if effects.machines or effects.everything:
            self._names |= effects.machines
            self._all |= effects.everything
            self._wake.set()

    async def run(self) -> None:
        """Publish for ever."""
        async with asyncio.TaskGroup() as tasks:
            for bucket in (self._machines, self._subnets):
                tasks.create_task(bucket.writer.run())
                await bucket.replica.start()
            tasks.create_task(self._reconcile())
            try:
                await self._publish()
            finally:
                for bucket in (self._machines, self._subnets):
                    await bucket.replica.stop()

    async def flush(self, timeout: float) -> bool:
        """Wait until the bus has all that was published, at most `timeout` seconds."""
        return await self._machines.writer.flush(timeout) and await self._subnets.writer.flush(timeout)

    async def _publish(self) -> None:
        self._all = True
        while True:
            names, everything = self._names, self._all
            self._names, self._all = set(), False
            self._wake.clear()
            try:
                await self._give_tokens()
                await self._refresh(None if everything else names)
            except (DatabaseUnavailable, Conflict) as error:
                self._log.error("desired state waits for the database", error=str(error))
                self._names, self._all = self._names | names, self._all or everything
                await asyncio.sleep(RETRY)
                continue
            self._loaded.set()
            await self._wake.wait()

    async def _refresh(self, names: set[str] | None) -> None:
        if names is not None:
            self._machines.set(await self._ledger.read(lambda session: machine_documents(session, names)), whole=False)
            return
        empty, machines, subnets = await self._ledger.read(_everything)
        # Nothing may come between the next lines: a replica that hears of a document meanwhile would delete it.
        spared = self._spare_strangers(empty)
        self._machines.set(machines, whole=True)
        self._subnets.set(subnets, whole=True)
        for bucket in spared:
            bucket.reconcile()

    def _spare_strangers(self, empty: bool) -> list[_Bucket]:
        """An empty database beside full buckets is a lost one: machines are served until the fleet is declared anew.

        Returns the buckets whose strangers are spared no longer.
        """
        buckets = (self._machines, self._subnets)
        freed = [bucket for bucket in buckets if bucket.keeps_strangers and not empty]
        for bucket in buckets:
            bucket.keeps_strangers = empty
        return freed

    async def _reconcile(self) -> None:
        await self._loaded.wait()
        for bucket in (self._machines, self._subnets):
            await bucket.replica.synced.wait()
            if bucket.keeps_strangers and bucket.replica.items():
                self._log.warning("the database is new, but the bus knows a fleet: nothing of it is deleted")
            bucket.reconcile()

    async def _give_tokens(self) -> None:
        """An install that was read back from the stream keeps the token that its machine already has."""
        if await self._ledger.read(installs.without_token):
            await self._machines.replica.synced.wait()
            await self._ledger.transact(self._adopt_tokens)

    def _adopt_tokens(self, work: Work) -> None:
        found = installs.without_token(work.session)
        for install in found:
            document = self._machines.replica.get(install.machine) or {}
            held = document.get("install") or {}
            install.token = held["token"] if held.get("id") == install.id else secrets.token_urlsafe(24)
        installs.save(work.session, found)


def _everything(session: Session) -> tuple[bool, Documents, Documents]:
    """Whether no fleet is declared, and all documents, as they stood in one moment."""
    empty = _is_empty(session)
    return empty, machine_documents(session, None), subnet_documents(session)


def _is_empty(session: Session) -> bool:
    return not fleet.machine_names(session) and not any(fleet.resources(session, kind) for kind in KINDS)
