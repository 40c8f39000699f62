"""The documents say what the code does; where they are stale, `make docs` renews them."""

import re
from pathlib import Path

import pytest

from libs.events import CATALOGUE
from libs.settings import known_keys
from tests.support import documents

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(ROOT.glob("*.md"))


@pytest.mark.parametrize("name", sorted(documents.GENERATED))
def test_what_is_generated_is_not_stale(name: str) -> None:
    path, marker, make = documents.GENERATED[name]
    found = documents.between(path.read_text("utf-8"), marker)
    assert found == make(), f"{path.name} is stale at {marker!r}: run `make docs`"


def test_every_setting_and_event_is_in_the_reference() -> None:
    text = (ROOT / "REFERENCE.md").read_text("utf-8")
    missing = [name for name in [*known_keys(), *CATALOGUE] if f"`{name}`" not in text]
    assert not missing


def test_every_folder_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rooms = text.split("## The rooms", 1)[1].split("```")[1]
    parent = ROOT
    for line in rooms.strip().splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            parent = ROOT / name
            assert parent.exists(), name
        else:
            assert (parent / name).exists(), f"{parent.name}/{name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    named = re.findall(r"`((?:deploy|tests|libs|services)/[\w./@-]+)`", path.read_text("utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_decisions_are_numbered_and_short() -> None:
    parts = re.split(r"^## (\d+)\. .*$", (ROOT / "DECISIONS.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    numbers = [int(number) for number in parts[::2]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [n for n, text in zip(numbers, parts[1::2], strict=True) if len(text.strip().splitlines()) > 10] == []
