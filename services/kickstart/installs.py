"""Tokens and installs: which install a token opens, whether it still runs, and what it has reported."""

import hashlib
import time

from libs.desired import MachineDocument
from services.kickstart.store import Install, Store

DONE = "done"
MAX_CALLBACKS = 1000  # of one install: progress is bounded


class UnknownToken(Exception):
    """No install was ever given this token."""


class InstallEnded(Exception):
    """The token's install is over: done, or withdrawn for another one."""


class TooMany(Exception):
    """An install has sent more than an installer could mean."""


class Installs:
    """Fed with the machines' documents. A token is known by its SHA-256 alone; looking it up compares digests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = {install.token: install for install in store.installs()}
        self._given: dict[str, set[str]] = {}
        for install, kind in store.given():
            self._given.setdefault(install, set()).add(kind)
        self._current: dict[str, str] = {}  # machine -> the install that its document orders

    def observe(self, name: str, document: MachineDocument | None) -> None:
        """Take note of what a machine is to run now."""
        ordered = document.install if document and document.netboot == "install" else None
        if document is None or ordered is None:
            self._current.pop(name, None)
            return
        self._current[name] = ordered.id
        digest = _digest(ordered.token)
        if digest not in self._known:
            install = Install(digest, ordered.id, name, document.macs[0] if document.macs else "")
            self._known[digest] = install
            self._store.remember(install, time.time())

    def of(self, token: str) -> Install:
        """The install of a token. Raises UnknownToken."""
        try:
            return self._known[_digest(token)]
        except KeyError:
            raise UnknownToken from None

    def running(self, token: str) -> Install:
        """The install of a token, if it is the one that its machine is to run. Raises UnknownToken, InstallEnded."""
        install = self.of(token)
        if self.is_done(install.id) or self._current.get(install.machine) != install.id:
            raise InstallEnded
        return install

    def is_done(self, install_id: str) -> bool:
        """Whether the install has said `done`."""
        return self.has_given(install_id, DONE)

    def has_given(self, install_id: str, kind: str) -> bool:
        """Whether the install has given this callback."""
        return kind in self._given.get(install_id, ())

    def check_room(self, install_id: str) -> None:
        """Whether the install may give one more callback. Raises TooMany."""
        if len(self._given.get(install_id, ())) >= MAX_CALLBACKS:
            raise TooMany

    def give(self, install: Install, kind: str) -> None:
        """Record a callback, `done` on stable storage."""
        self._store.give(install.id, kind, time.time(), durable=kind == DONE)
        self._given.setdefault(install.id, set()).add(kind)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
