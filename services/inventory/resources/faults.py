"""What is wrong with a declaration, where, and what would be right."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Fault:
    """`path` is written as in `machines[3].macs[0]`; `remedy` says what to do instead."""

    path: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}{'; ' + self.remedy if self.remedy else ''}"

    def below(self, prefix: str) -> "Fault":
        """The same fault, seen from further up."""
        joint = "" if not self.path or self.path.startswith("[") or not prefix else "."
        return Fault(f"{prefix}{joint}{self.path}", self.message, self.remedy)


class FleetError(Exception):
    """A declaration was refused as a whole; `faults` say why."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


REMEDIES = {
    "missing": "add it",
    "string_type": "write it as text, in quotes",
    "list_type": "write it as a list",
    "dict_type": "write it as a mapping of keys to values",
    "model_type": "write it as a mapping of keys to values",
    "ip_v4_address": "write it like 10.77.0.11",
    "ip_v4_network": "write it like 10.77.0.0/24, with no bits set behind the prefix",
}
MESSAGES = {
    "missing": "this is required",
    "ip_v4_address": "this is not an IPv4 address",
    "ip_v4_network": "this is not an IPv4 network",
}


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not known: the one that was probably meant, or all that there are."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'none'}"


def wrong(message: str, remedy: str = "", *, key: str | None = None) -> PydanticCustomError:
    """An error for a validator to raise; `key` is the key inside the validated mapping that is at fault."""
    context = {"remedy": remedy, **({"key": key} if key is not None else {})}
    return PydanticCustomError("wrong", "{message}", {"message": message, **context})


def faults_of(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """The faults in the errors of a pydantic ValidationError (its `errors()`)."""
    return [_fault(error) for error in errors]


def _fault(error: Mapping[str, Any]) -> Fault:
    context = error.get("ctx") or {}
    location = [*error["loc"], *([context["key"]] if "key" in context else [])]
    kind = error["type"]
    message = MESSAGES.get(kind) or str(error["msg"]).removeprefix("Value error, ")
    return Fault(path_of(location), message, context.get("remedy", "") or REMEDIES.get(kind, ""))


def path_of(location: Iterable[int | str]) -> str:
    """A location as it is written: ("machines", 3, "macs", 0) is machines[3].macs[0]."""
    path = ""
    for part in location:
        if part == "[key]":
            continue
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
    return path
