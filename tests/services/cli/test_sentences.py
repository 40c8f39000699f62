"""Events as lines: every type of the catalogue has its sentence, also when its fields are empty."""

import json
from datetime import UTC, datetime

import pytest

from libs.events import CATALOGUE, BootconfigFetched, LeaseAcknowledged, TransferFailed, decode, encode
from services.cli.errors import WrongUse
from services.cli.eventline import event_line, event_types, since
from services.cli.phrases import PHRASES, sentence, who

ENVELOPE = {"time": "2026-01-31T12:00:00.123456Z", "id": "1"}
# The common fields, and those that some type cannot do without.
DATA = {
    "mac": "52:54:00:00:00:01",
    "machine": None,
    "install_id": None,
    "ip": "10.0.0.9",
    "path": "a/b",
    "subnet": "s",
    "reason": "missing",
    "profile": "p",
    "image": "i",
    "server": "10.0.0.1",
    "state": "leased",
    "before": "a",
    "after": "b",
    "rollout": "r",
}


def test_every_type_has_a_phrase_and_no_phrase_is_left_over() -> None:
    assert set(PHRASES) == set(CATALOGUE)


@pytest.mark.parametrize("kind", sorted(CATALOGUE))
def test_every_event_with_its_defaults_is_a_sentence(kind: str) -> None:
    raw = json.dumps({**ENVELOPE, "type": kind, "data": DATA})
    event = json.loads(encode(decode(raw.encode()), site="lab", service="test"))
    text = sentence(kind, event["data"])
    assert text
    assert "None" not in text
    assert kind in event_line(event).plain


@pytest.mark.parametrize("kind", sorted(CATALOGUE))
def test_a_document_without_any_field_is_no_fault(kind: str) -> None:
    assert sentence(kind, {})


def test_a_type_that_only_a_newer_kickfleet_knows_is_told_as_it_came() -> None:
    assert sentence("moon.landed", {"where": "tranquility"}) == "moon.landed {'where': 'tranquility'}"


def test_sentences_read_like_sentences() -> None:
    taken = LeaseAcknowledged(subnet="s", client="pxe", ip="10.0.0.9", seconds=3600)
    assert sentence(taken.TYPE, taken.data()) == "its firmware took 10.0.0.9 for 1 h"
    broken = TransferFailed(path="a/vmlinuz", reason="aborted", bytes=1024, size=4096, detail="code 0: stop")
    assert sentence(broken.TYPE, broken.data()) == "broke off a/vmlinuz after 1.0 KiB of 4.0 KiB (code 0: stop)"
    disk = BootconfigFetched(path="grub.cfg", boots="disk")
    assert sentence(disk.TYPE, disk.data()) == "has its boot configuration grub.cfg: boot the disk"


def test_a_machine_is_called_by_the_best_name_there_is() -> None:
    assert who({"machine": "node01", "mac": "52:54:00:00:00:01"}) == "node01"
    assert who({"machine": None, "mac": "52:54:00:00:00:01"}) == "52:54:00:00:00:01"
    assert who({"ip": "10.0.0.1"}) == "10.0.0.1"
    assert who({}) == "–"


def test_globs_of_types_become_what_the_api_takes() -> None:
    assert event_types(None) is None
    assert event_types("install.done") == "install.done"
    assert event_types("install.*") == "install.*"
    assert set((event_types("*.failed") or "").split(",")) == {"transfer.*", "answers.failed", "install.failed"}
    assert len(event_types("*.fetched") or "") <= 255
    with pytest.raises(WrongUse, match=r"did you mean 'install\.done'\?"):
        event_types("install.dun")


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", "2026-01-31T11:50:00+00:00"),
        ("2h", "2026-01-31T10:00:00+00:00"),
        ("1d", "2026-01-30T12:00:00+00:00"),
        ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00+00:00"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T08:00:00+00:00"),
    ],
)
def test_since_takes_what_people_write(text: str, expected: str) -> None:
    assert since(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "10 m", "-5m", "10x", ""])
def test_since_refuses_the_rest(text: str) -> None:
    with pytest.raises(WrongUse, match="write 10m"):
        since(text, NOW)
