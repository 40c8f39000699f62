"""The examples are true: every setting with its default, a fleet that is accepted."""

import re
import tomllib
from pathlib import Path

from libs.settings import Settings, known_keys, load
from services.inventory.resources.check import Standing, check
from services.inventory.resources.fleet import Fleet
from services.inventory.resources.yaml import read_yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "deploy" / "examples"


def test_the_settings_example_has_every_key_with_its_default() -> None:
    file = EXAMPLES / "kickfleet.toml"
    values = tomllib.loads(file.read_text("utf-8"))
    keys = [f"{k}.{inner}" for k, v in values.items() if isinstance(v, dict) for inner in v]
    assert {*keys, *(k for k, v in values.items() if not isinstance(v, dict))} == set(known_keys())
    loaded, default = (
        load(file, {}).model_dump(exclude={"data", "kickstart"}),
        Settings().model_dump(exclude={"data", "kickstart"}),
    )
    assert loaded == default
    assert load(file, {}).data == EXAMPLES / "var"


def test_the_first_fleet_is_sound() -> None:
    fleet = Fleet.model_validate(read_yaml((EXAMPLES / "first.yaml").read_bytes()))
    assert check(fleet, Standing()) == []
    assert [machine.name for machine in fleet.machines] == ["node01"]


def test_requirements_are_pinned_and_name_no_index() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line and not line.startswith("#")]
        assert [
            line
            for line in lines
            if not re.fullmatch(r'[\w.-]+(\[\w+\])?==[\w.]+(; [\w. "=<>]+)?|-r requirements\.txt', line)
        ] == []


def test_test_packages_are_one_name_a_line() -> None:
    names = [
        line
        for line in (ROOT / "deploy" / "test-packages.txt").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert [name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name)] == []
    assert len(names) == len(set(names))
