"""The templates' own page names every variable, filter and block that there is."""

import re
from pathlib import Path

from services.kickstart import sources
from services.kickstart.facts import Select
from services.kickstart.quoting import FILTERS
from services.kickstart.values import Named
from tests.services.kickstart.examples import order

BUILTIN = Path(sources.__file__).parent
PAGE = (BUILTIN / "templates" / "README.md").read_text("utf-8")
TEMPLATES = [*(BUILTIN / "templates").rglob("*.j2"), *(BUILTIN / "snippets").rglob("*.j2")]


def named_in_page() -> set[str]:
    """Every word in code quotes, and the words of lists in them."""
    return {
        word
        for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.S))
        for word in re.split(r"[\s,{}|]+", code)
    }


def test_variables_are_documented() -> None:
    used = {name for path in TEMPLATES for name in re.findall(r"\bvars\.([a-z_]+)", path.read_text("utf-8"))}
    assert used - named_in_page() == set()
    assert {"disk", "users", "callback_tries"} <= used


def test_what_templates_are_told_is_documented() -> None:
    context = Select(order(uuid="00112233-4455-6677-8899-aabbccddeeff")).install_context("52:54:00:00:00:01")
    told = named_in_page()
    for name, value in context.items():
        assert name in told or any(word.startswith(f"{name}.") for word in told), name
        if isinstance(value, Named) and name not in ("vars", "tree", "install", "answers"):
            assert set(value) - told == set(), name


def test_filters_and_blocks_are_documented() -> None:
    assert set(FILTERS) - named_in_page() == set()
    blocks = {name for path in TEMPLATES for name in re.findall(r"{% block (\w+)", path.read_text("utf-8"))}
    assert blocks - named_in_page() == set()
