"""Leases outlive the process, and a store that cannot be used says so."""

import sqlite3
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dhcp.leases import Hardware, Lease, State
from services.dhcp.store import Store, StoreError

leases = st.builds(
    Lease,
    address=st.integers(0, 2**32 - 1).map(IPv4Address),
    hardware=st.builds(Hardware, st.integers(0, 255), st.binary(min_size=1, max_size=16)),
    subnet=st.text("abc-", min_size=1),
    state=st.sampled_from([state for state in State if state is not State.FREE]),
    expires=st.floats(0, 2**33),
    client_id=st.none() | st.binary(max_size=64),
    uuid=st.none() | st.uuids().map(str),
)
ONE = Lease(
    address=IPv4Address("10.0.0.1"), hardware=Hardware(1, b"abcdef"), subnet="s", state=State.BOUND, expires=9.5
)


@settings(max_examples=20, deadline=None)
@given(st.lists(leases, max_size=20))
def test_what_is_saved_is_loaded_by_the_next_process(
    tmp_path_factory: pytest.TempPathFactory, many: list[Lease]
) -> None:
    path = tmp_path_factory.mktemp("store") / "leases.db"
    store = Store(path)
    store.save(many)
    store.close()
    revived = Store(path)
    latest = {lease.address: lease for lease in many}
    assert {lease.address: lease for lease in revived.load()} == latest
    revived.close()


def test_a_later_record_replaces_an_earlier_and_a_free_one_removes_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "leases.db")
    later = Lease(address=ONE.address, hardware=Hardware(1, b"ghijkl"), subnet="t", state=State.EXPIRED, expires=11)
    store.save([ONE])
    store.save([ONE, later])
    assert store.load() == [later]
    gone = Lease(address=ONE.address, hardware=ONE.hardware, subnet="t", state=State.FREE, expires=11)
    store.save([ONE, gone])
    assert store.load() == []
    store.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """SQLite in WAL mode syncs each commit only with synchronous=FULL (2)."""
    store = Store(tmp_path / "leases.db")
    assert store._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_committed_lease_is_seen_by_another_process_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "leases.db")
    store.save([ONE])
    with sqlite3.connect(tmp_path / "leases.db") as other:
        assert other.execute("SELECT address, state FROM leases").fetchall() == [(int(ONE.address), "bound")]
    store.close()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "leases.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"leases\.db cannot be used: file is not a database"):
        Store(tmp_path / "leases.db")


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "leases.db") as newer:
        newer.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path / "leases.db")


def test_a_disk_that_takes_no_more_is_an_error_and_not_a_lease(tmp_path: Path) -> None:
    store = Store(tmp_path / "leases.db")
    store._database.execute("PRAGMA max_page_count=1")
    many = [replace(ONE, address=IPv4Address(number)) for number in range(5000)]
    with pytest.raises(StoreError, match="full"):
        store.save(many)
    assert store.load() == []
    store.close()
