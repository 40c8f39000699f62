"""The diagram in ARCHITECTURE.md is that of the table."""

import pytest

from services.inventory.diagram import BEGIN, DOCUMENT, END, block, replaced
from services.inventory.lifecycle import RULES, State


def test_the_diagram_in_the_document_is_not_stale() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert document == replaced(document), "stale: run `python -m services.inventory.diagram`"


def test_every_state_and_every_event_is_in_it() -> None:
    drawn = block()
    assert all(f"`{state}`" in drawn for state in State)
    assert all(rule.event in drawn for rule in RULES)


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = replaced(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert text.startswith(f"before\n{BEGIN}\n```mermaid\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert replaced(text) == text


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_document_without_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="lacks the lines"):
        replaced(text)
