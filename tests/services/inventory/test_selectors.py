"""Selectors: names, conditions, all, and a clear word where it is neither."""

import pytest

from services.inventory.selectors import SelectorError, parse_selector

TAGS = {"rack": "r7", "row": "2"}


@pytest.mark.parametrize(
    "text",
    [
        "node07",
        "node01,node07",
        "node*",
        "node0? other",
        "all",
        "rack=r7",
        "rack=r7,row=2",
        "profile=web",
        "state=failed",
    ],
)
def test_what_picks_the_machine(text: str) -> None:
    assert parse_selector(text).picks("node07", TAGS, "web", "failed")


@pytest.mark.parametrize(
    "text", ["node7", "rack=r8", "rack=r7,row=3", "profile=none", "state=none", "colour=blue", "x*"]
)
def test_what_does_not_pick_it(text: str) -> None:
    assert not parse_selector(text).picks("node07", TAGS, "web", "failed")


def test_a_machine_without_profile_or_install_is_picked_by_none() -> None:
    assert parse_selector("profile=none,state=none").picks("node07", {}, None, None)


def test_exact_names_are_those_without_wildcards() -> None:
    assert parse_selector("a,b*,c").exact == ("a", "c")


@pytest.mark.parametrize("text", ["", " , ", "all,node01", "node01,rack=r7", "=x", "rack=", "a" * 5000])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(SelectorError, match="write names"):
        parse_selector(text)
