"""Fleet files: YAML read so that a hardware address stays text and a key written twice is not lost silently."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from services.inventory.resources.faults import Fault, FleetError

MAX_BYTES = 16 << 20
MAX_NODES = 1_000_000  # with aliases counted where they stand: a small file can otherwise mean a huge one


def _scalar(tag: str, pattern: str) -> tuple[str, re.Pattern[str]]:
    return f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$")


_NULL = _scalar("null", "~|null|Null|NULL|")
_BOOL = _scalar("bool", "true|True|TRUE|false|False|FALSE")
_INT = _scalar("int", "[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = _scalar("float", r"[-+]?[0-9]{1,18}\.[0-9]{0,18}([eE][-+]?[0-9]{1,3})?")
_RESOLVERS = {
    **{first: [_NULL] for first in ("", "~", "n", "N")},
    **{first: [_BOOL] for first in "tTfF"},
    **{first: [_INT, _FLOAT] for first in "-+0123456789"},
    "<": [_scalar("merge", "<<")],
}


class _Loader(yaml.SafeLoader):
    """The scalars of YAML 1.2: no base 60 (52:54:00:00:00:01 is text), no octal, no dates; yes and no are text."""

    yaml_implicit_resolvers = _RESOLVERS

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} is written twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str | bytes, source: str = "") -> dict[str, Any]:
    """The mapping that a fleet file holds. Raises FleetError, which names `source` and the line."""
    if len(text) > MAX_BYTES:
        raise FleetError([Fault(source, f"the file is larger than {MAX_BYTES >> 20} MiB", "split it")])
    loader = _loader(text, source)
    try:
        node = loader.get_single_node()
        if node and _size(node, {}) > MAX_NODES:
            raise FleetError([Fault(source, f"the file stands for more than {MAX_NODES} values", "use fewer aliases")])
        value = loader.construct_document(node) if node else {}
    except yaml.YAMLError as error:
        raise _unreadable(error, source) from None
    except RecursionError:
        raise FleetError([Fault(source, "the file is nested too deeply")]) from None
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        remedy = "write keys such as `machines:` with lists below them"
        raise FleetError([Fault(source, "the file is no mapping", remedy)])
    return value


def _loader(text: str | bytes, source: str) -> _Loader:
    try:
        return _Loader(text)
    except yaml.YAMLError as error:
        raise _unreadable(error, source) from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        known[id(node)] = 1  # an alias to a node that is still open would count for ever
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        children = [child for part in parts for child in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]


def _unreadable(error: yaml.YAMLError, source: str) -> FleetError:
    mark = getattr(error, "problem_mark", None)
    where = f"{source or 'the file'}{f', line {mark.line + 1}' if mark else ''}"
    problem = getattr(error, "problem", None) or str(error)
    return FleetError([Fault(where, f"this is not YAML as a fleet file needs it: {problem}")])
