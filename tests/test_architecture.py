"""The rules of the house, held by reading the sources: which room may import what, and how large a room may be."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = ("dhcp", "tftp", "kickstart", "inventory")
SANS_IO = (
    "libs/wire",
    "engine",
    "session",
    "leases",
    "lifecycle",
    "negotiate",
    "partition",
    "membership",
    "merge",
    "records",
)
OUTSIDE_WORLD = {"socket", "asyncio", "os", "pathlib", "time", "select", "selectors", "threading", "subprocess", "io"}
MAX_LINES = 350


def _sources() -> list[Path]:
    return sorted(path for room in ("libs", "services") for path in (ROOT / room).rglob("*.py"))


@cache
def _imports(path: Path) -> frozenset[str]:
    """The dotted names that a file imports, wherever in it."""
    return frozenset(_imported(ast.parse(path.read_text("utf-8")), path))


def _imported(tree: ast.AST, path: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written from the top, not relative"
            assert not any(alias.name == "*" for alias in node.names), f"{path}: import * hides names"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)}


@pytest.fixture(params=_sources(), ids=_room)
def source(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_libs_never_import_services(source: Path) -> None:
    if _room(source).startswith("libs/"):
        assert "services" not in _tops(source)


def test_a_service_imports_libs_and_itself(source: Path) -> None:
    parts = _room(source).split("/")
    if parts[0] == "services" and len(parts) > 2 and parts[1] in SERVICES:
        others = [name for name in _imports(source) if name.startswith("services.") and name.split(".")[1] != parts[1]]
        assert not others


def test_the_bus_room_alone_speaks_nats(source: Path) -> None:
    if not _room(source).startswith("libs/bus/"):
        assert "nats" not in _tops(source)


def test_the_database_stays_in_its_rooms(source: Path) -> None:
    room = _room(source)
    allowed = room.startswith(
        ("services/inventory/models", "services/inventory/repository", "services/inventory/migrations")
    )
    if not allowed:
        assert not _tops(source) & {"sqlalchemy", "alembic"}


def test_the_web_framework_stays_at_the_door(source: Path) -> None:
    rooms = _room(source).removesuffix(".py").split("/")
    if not {"app", "api", "console"} & set(rooms):
        assert not _tops(source) & {"fastapi", "starlette"}


def test_pure_rooms_know_no_world(source: Path) -> None:
    room = _room(source)
    pure = room.startswith("libs/wire/") or (room.startswith("services/") and source.stem in SANS_IO)
    if pure:
        assert not _tops(source) & OUTSIDE_WORLD
        assert not [name for name in _imports(source) if name.startswith("libs.bus")]


def test_a_file_is_one_room(source: Path) -> None:
    lines = len(source.read_text("utf-8").splitlines())
    assert lines <= MAX_LINES, f"{_room(source)} has {lines} lines; what in it is a room of its own?"


def test_there_are_no_import_cycles() -> None:
    modules = {
        _room(path).removesuffix("/__init__.py").removesuffix(".py").replace("/", "."): path for path in _sources()
    }
    graph = {
        name: {other for other in _runtime_imports(path) if other in modules and other != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"an import cycle: {' -> '.join([*trail[trail.index(name) :], name])}"
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def _runtime_imports(path: Path) -> set[str]:
    """What is imported when the module is; names under TYPE_CHECKING are for the reader and the type checker."""
    tree = ast.parse(path.read_text("utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return _without_packages_of_found_modules(names)


def _without_packages_of_found_modules(names: set[str]) -> set[str]:
    """`from a.b import c` where a.b.c is a module depends on that module, not on everything a.b gathers."""
    files = {name for name in names if (ROOT / (name.replace(".", "/") + ".py")).exists()}
    return {name for name in names if not any(other.startswith(name + ".") for other in files)}
