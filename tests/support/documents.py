"""The parts of the documents that are drawn from the code. `python -m tests.support.documents` renews them."""

import re
from collections.abc import Callable
from pathlib import Path

import click
from fastapi.routing import APIRoute

from libs.events import CATALOGUE
from libs.settings import field_of, known_keys
from services.cli.main import VERBS, kickfleet
from services.inventory import diagram
from services.inventory.app import ROUTERS

ROOT = Path(__file__).parents[2]
CATALOGUE_SOURCE = ROOT / "libs" / "events.py"


def settings_table() -> str:
    """Every setting with its default and its sentence."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for key in known_keys():
        info = field_of(key)
        default = info.default if isinstance(info.default, int | bool) else f'"{info.default}"'
        rows.append(
            f"| `{key}` | `{str(default).lower() if isinstance(default, bool) else default}` | {info.description} |"
        )
    return "\n".join(rows)


def events_table() -> str:
    """Every event with its publisher and its sentence."""
    rows = ["| service | type | |", "|---|---|---|"]
    owners = _owners()
    for name, kind in CATALOGUE.items():
        rows.append(f"| {owners[kind.__name__]} | `{name}` | {(kind.__doc__ or '').splitlines()[0]} |")
    return "\n".join(rows)


def _owners() -> dict[str, str]:
    owner, owners = "", {}
    for line in CATALOGUE_SOURCE.read_text("utf-8").splitlines():
        if heading := re.match(r"# --- ([a-z ]+)", line):
            owner = heading[1].strip()
        elif declared := re.match(r"class (\w+)\(", line):
            owners[declared[1]] = owner
    return owners


def commands_table() -> str:
    """Every verb of the command line, by its section, with the first sentence of its help."""
    rows = ["| | verb | |", "|---|---|---|"]
    for heading, names in VERBS.items():
        for name in names:
            verb = kickfleet.get_command(click.Context(kickfleet), name)
            sentence = (verb.help or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|") if verb else ""
            rows.append(f"| {heading} | `{name}` | {sentence} |")
    return "\n".join(rows)


def routes_table() -> str:
    """Every address of the API, with its sentence."""
    rows = ["| method | address | |", "|---|---|---|"]
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                methods = ", ".join(sorted(route.methods or ()))
                sentence = (route.description or route.summary or "").split("\n")[0].replace("|", "\\|")
                rows.append(f"| {methods} | `{route.path}` | {sentence} |")
    return "\n".join(rows)


GENERATED: dict[str, tuple[Path, str, Callable[[], str]]] = {
    "settings": (ROOT / "REFERENCE.md", "settings", settings_table),
    "commands": (ROOT / "REFERENCE.md", "commands", commands_table),
    "routes": (ROOT / "REFERENCE.md", "routes", routes_table),
    "events": (ROOT / "REFERENCE.md", "events", events_table),
}


def between(text: str, marker: str) -> str:
    """What stands between a marker's two comments."""
    match = re.search(rf"<!-- {marker}: begin -->\n(.*?)\n?<!-- {marker}: end -->", text, re.DOTALL)
    assert match, f"the markers of {marker!r} are missing"
    return match[1]


def renew() -> None:
    """Write every generated part afresh."""
    diagram.main()
    for path, marker, make in GENERATED.values():
        text = path.read_text("utf-8")
        begin, end = f"<!-- {marker}: begin -->\n", f"<!-- {marker}: end -->"
        head, rest = text.split(begin, 1)
        path.write_text(f"{head}{begin}{make()}\n{end}{rest.split(end, 1)[1]}", "utf-8")


if __name__ == "__main__":
    renew()
