"""Which machines an operator means: `node01,node02`, `node*`, `rack=r7,profile=web`, `state=failed`, `all`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

MAX_LENGTH = 4096
GRAMMAR = "write names (node01,node02 or node*), conditions (rack=r7,profile=web,state=failed) or all"


class SelectorError(ValueError):
    """The text is no selector; the message says what would be."""


@dataclass(frozen=True)
class Selector:
    """Names are alternatives; conditions must all hold; neither means every machine."""

    names: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()

    @property
    def exact(self) -> tuple[str, ...]:
        """The names without wildcards: each of them must exist."""
        return tuple(name for name in self.names if not _has_wildcard(name))

    def picks(self, name: str, tags: Mapping[str, str], profile: str | None, state: str | None) -> bool:
        """Whether a machine is meant."""
        if self.names:
            return any(fnmatchcase(name, pattern) for pattern in self.names)
        facts = {**tags, "profile": profile or "none", "state": state or "none"}
        return all(fnmatchcase(facts.get(key, ""), value) for key, value in self.conditions)


def parse_selector(text: str) -> Selector:
    """Read a selector. Raises SelectorError."""
    terms = [term.strip() for term in text.replace(",", " ").split()]
    if len(text) > MAX_LENGTH or not terms or not all(term.isprintable() for term in terms):
        raise SelectorError(f"this selects nothing; {GRAMMAR}")
    if terms == ["all"]:
        return Selector()
    pairs = [term.partition("=") for term in terms]
    conditions = tuple((key, value) for key, sign, value in pairs if sign)
    names = tuple(dict.fromkeys(term for term in terms if "=" not in term))
    if "all" in names or (names and conditions):
        raise SelectorError(f"{text!r} mixes names, conditions and all; {GRAMMAR}")
    if any(not key or not value for key, value in conditions):
        raise SelectorError(f"{text!r} has a condition without a key or a value; {GRAMMAR}")
    return Selector(names, conditions)


def _has_wildcard(name: str) -> bool:
    return any(sign in name for sign in "*?[")
