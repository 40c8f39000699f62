"""What a test needs of the machine. Where it is missing the test is skipped by name, or fails where CI wants all.

A package that the list of test packages lacks fails the test also where it happens to be installed: a fresh machine
would not have it.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_ALL = "KICKFLEET_REQUIRE_ALL"
LIST = Path(__file__).parents[2] / "deploy/test-packages.txt"
ESSENTIAL = frozenset({"bash", "dash", "debconf"})  # part of every Debian


def root() -> None:
    """The test makes network namespaces or listens on a port below 1024."""
    if os.geteuid() != 0:
        missing("root is needed; run `sudo make test`")


def program(name: str, package: str | None = None) -> str:
    """A program, by its name; returns its path."""
    if package:
        _listed(package)
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        missing(f"the program {name} is not installed (package {package or name})")
    return found


def file(path: str, package: str) -> Path:
    """A file that a package brings."""
    _listed(package)
    if not Path(path).exists():
        missing(f"{path} is not there (package {package})")
    return Path(path)


def _listed(package: str) -> None:
    listed = {line.strip() for line in LIST.read_text().splitlines()}
    if package not in listed | ESSENTIAL:
        pytest.fail(f"the test needs the package {package}, which {LIST.name} does not list")


def missing(what: str) -> NoReturn:
    """Skip by this name, or fail where nothing may be skipped."""
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{what}; {REQUIRE_ALL}=1 lets nothing be skipped")
    pytest.skip(what)
