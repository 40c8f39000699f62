"""Tokens: which install they open, and what is remembered of it when the process has ended."""

import time
from pathlib import Path

import pytest

from services.kickstart.installs import MAX_CALLBACKS, InstallEnded, Installs, TooMany, UnknownToken
from services.kickstart.store import KEEP_SECONDS, Store
from tests.services.kickstart.examples import TOKEN, install, machine

NOW = 1_800_000_000.0


def installs(folder: Path, now: float = NOW) -> Installs:
    """As after a start of the service."""
    return Installs(Store(folder / "installs.db", now))


def test_a_token_opens_the_install_that_its_machine_is_to_run(tmp_path: Path) -> None:
    known = installs(tmp_path)
    with pytest.raises(UnknownToken):
        known.running(TOKEN)
    known.observe("node01", machine())
    assert (known.running(TOKEN).id, known.running(TOKEN).mac) == ("i1", "52:54:00:00:00:01")
    known.observe("node01", machine(install=install("i2", "second")))
    assert known.running("second").id == "i2"
    with pytest.raises(InstallEnded):
        known.running(TOKEN)
    known.observe("node01", None)
    with pytest.raises(InstallEnded):
        known.running("second")


def test_an_install_that_is_done_stays_done(tmp_path: Path) -> None:
    known = installs(tmp_path)
    known.observe("node01", machine())
    known.give(known.running(TOKEN), "started")
    assert not known.is_done("i1")
    known.give(known.running(TOKEN), "done")
    for again in (known, installs(tmp_path)):
        again.observe("node01", machine())
        assert again.is_done("i1")
        assert again.has_given("i1", "started")
        assert again.of(TOKEN).machine == "node01"
        with pytest.raises(InstallEnded):
            again.running(TOKEN)


def test_the_token_itself_is_not_stored(tmp_path: Path) -> None:
    installs(tmp_path).observe("node01", machine())
    assert all(TOKEN.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_callbacks_are_bounded(tmp_path: Path) -> None:
    known = installs(tmp_path)
    known.observe("node01", machine())
    for number in range(MAX_CALLBACKS):
        known.check_room("i1")
        known.give(known.running(TOKEN), f"progress/{number}")
    with pytest.raises(TooMany):
        known.check_room("i1")


def test_old_installs_are_forgotten(tmp_path: Path) -> None:
    store = Store(tmp_path / "installs.db", NOW)
    known = Installs(store)
    known.observe("node01", machine())
    known.give(known.running(TOKEN), "done")
    (kept,) = store.installs()
    store.close()
    later = installs(tmp_path, time.time() + KEEP_SECONDS - 60)
    assert later.of(TOKEN) == kept
    much_later = installs(tmp_path, time.time() + KEEP_SECONDS + 60)
    with pytest.raises(UnknownToken):
        much_later.of(TOKEN)
    assert not much_later.is_done("i1")
