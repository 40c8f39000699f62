"""The catalogue: what the contract names is there, travels unchanged, and nothing else passes."""

import json
from contextlib import suppress
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import CATALOGUE, Event, EventError, LeaseOffered, decode, derived_id, encode, subject

CONTRACT = """
lease.offered lease.acknowledged lease.refused lease.declined lease.released lease.expired pool.exhausted
rival.detected machine.unknown pxelinux.fetched grub.fetched ipxe.fetched shim.fetched bootconfig.fetched
kernel.fetched initrd.fetched file.fetched transfer.failed answers.fetched answers.failed install.started
install.progress install.done install.failed machine.registered machine.changed machine.removed machine.discovered
install.ordered install.cancelled install.stalled machine.booted state.changed rollout.started rollout.paused
rollout.finished
"""


def test_the_catalogue_is_the_contracts() -> None:
    assert sorted(CATALOGUE) == sorted(CONTRACT.split())


def _example(kind: type[Event]) -> Event:
    required: dict[str, Any] = {
        f.name: "x" for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
    }
    return kind(mac="52:54:00:00:00:01", machine="node01", install_id="i1", ip="10.77.0.11", **required)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_event_travels_as_a_cloud_event(name: str) -> None:
    event = _example(CATALOGUE[name])
    raw = encode(event, site="lab", service="test")
    document = json.loads(raw)
    assert b"\n" not in raw
    assert document["specversion"] == "1.0"
    assert document["schema"] == 1
    assert document["type"] == name
    assert {"mac", "machine", "install_id", "ip"} <= document["data"].keys()
    assert encode(decode(raw), site="lab", service="test") == raw
    assert CATALOGUE[name].__doc__, "every event has its sentence"


def test_the_subject_is_the_contracts() -> None:
    assert subject("install.done", "52:54:00:00:00:01", "lab") == "kickfleet.events.lab.52-54-00-00-00-01.install.done"
    assert subject("machine.unknown", None, "lab") == "kickfleet.events.lab._.machine.unknown"


def test_a_newer_senders_field_is_left_aside() -> None:
    document = json.loads(encode(LeaseOffered(subnet="rack1"), site="lab", service="dhcp"))
    document["data"]["colour"] = "green"
    assert isinstance(decode(json.dumps(document).encode()), LeaseOffered)


@given(st.binary() | st.text().map(str.encode))
def test_garbage_is_refused_by_name(raw: bytes) -> None:
    with suppress(EventError):
        decode(raw)


def test_the_same_cause_gives_the_same_id() -> None:
    assert derived_id("a", "b") == derived_id("a", "b") != derived_id("a", "c")
