"""Fleet files: several become one declaration, and a fault in it is found again in its file and line."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from services.cli.errors import WrongUse
from services.inventory.resources.faults import FleetError
from services.inventory.resources.yaml import read_yaml

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True)
class _File:
    name: str
    text: bytes

    @cached_property
    def nodes(self) -> yaml.Node | None:
        """The same text with the places of everything in it; needed only where something is wrong."""
        return yaml.compose(self.text, Loader=yaml.SafeLoader)

    def line(self, steps: list[str | int]) -> int | None:
        """The line of what a path leads to, or of the nearest thing above it."""
        node, line = self.nodes, None
        for step in steps:
            found = _child(node, step)
            if found is None:
                break
            node, line = found
        return line


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item: yaml.Node = node.value[step]
        return item, item.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    return None


@dataclass
class FleetFiles:
    """The declaration of all files that were added, in their order."""

    declaration: dict[str, Any] = field(default_factory=dict)
    _origins: dict[str, list[tuple[_File, int]]] = field(default_factory=dict)

    def add(self, name: str, text: bytes) -> None:
        """Read one more file. Raises WrongUse, with the line of what is no YAML."""
        try:
            declared = read_yaml(text, name)
        except FleetError as error:
            raise WrongUse(str(error)) from None
        file = _File(name, text)
        for key, value in declared.items():
            if isinstance(value, list) and isinstance(self.declaration.get(key, []), list):
                self.declaration.setdefault(key, []).extend(value)
                self._origins.setdefault(key, []).extend((file, index) for index in range(len(value)))
            elif key in self.declaration:
                raise WrongUse(f"{name}: `{key}` is declared in another file already; keep one of them")
            else:
                self.declaration[key] = value
                self._origins[key] = [(file, -1)]

    def locate(self, path: str) -> str:
        """Where something is written that the API calls by its path: `fleet.yaml, line 12`; else nothing."""
        steps: list[str | int] = [int(index) if index else key for key, index in _STEP.findall(path)]
        origins = self._origins.get(str(steps[0])) if steps else None
        if not origins:
            return ""
        index = steps[1] if len(steps) > 1 and isinstance(steps[1], int) else None
        if index is None or index >= len(origins):
            file, steps = origins[0][0], steps if index is None else steps[:1]
        else:
            file, steps[1] = origins[index]
        line = file.line(steps)
        return f"{file.name}, line {line}" if line else file.name
