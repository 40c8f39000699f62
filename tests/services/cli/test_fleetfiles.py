"""Several files as one declaration, and the way back from a fault to its line."""

import pytest

from services.cli.errors import WrongUse
from services.cli.fleetfiles import FleetFiles

FIRST = b"""\
subnets:
  - name: a
    cidr: 10.0.0.0/24
machines:
  - name: one
    macs: ["52:54:00:00:00:01"]
  - name: two
    macs:
      - 52:54:00:00:00:02
      - zz
    variables: {disk: sda}
"""
SECOND = b"site: {variables: {x: 1}}\nmachines: [{name: three, macs: [b]}]\n"


@pytest.fixture
def files() -> FleetFiles:
    found = FleetFiles()
    found.add("first.yaml", FIRST)
    found.add("second.yaml", SECOND)
    return found


def test_lists_are_joined_in_the_order_of_the_files(files: FleetFiles) -> None:
    assert [machine["name"] for machine in files.declaration["machines"]] == ["one", "two", "three"]
    assert files.declaration["machines"][1]["macs"][0] == "52:54:00:00:00:02"
    assert set(files.declaration) == {"subnets", "machines", "site"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("machines[1].macs[1]", "first.yaml, line 10"),
        ("machines[1].macs", "first.yaml, line 8"),
        ("machines[1].variables.disk", "first.yaml, line 11"),
        ("machines[0]", "first.yaml, line 5"),
        ("machines[0].address", "first.yaml, line 5"),
        ("machines[2].macs[0]", "second.yaml, line 2"),
        ("site.variables.x", "second.yaml, line 1"),
        ("machines", "first.yaml, line 4"),
        ("machines[99].name", "first.yaml, line 4"),
        ("profiles[0].name", ""),
        ("", ""),
    ],
)
def test_a_path_leads_back_to_its_line(files: FleetFiles, path: str, expected: str) -> None:
    assert files.locate(path) == expected


def test_what_cannot_be_joined_is_refused(files: FleetFiles) -> None:
    with pytest.raises(WrongUse, match=r"third\.yaml: `site` is declared in another file already"):
        files.add("third.yaml", b"site: {}\n")


def test_an_empty_file_declares_nothing() -> None:
    files = FleetFiles()
    files.add("empty.yaml", b"# nothing yet\n")
    assert files.declaration == {}


def test_what_is_no_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(WrongUse, match=r"bad\.yaml, line 2"):
        FleetFiles().add("bad.yaml", b"a: 1\n b: 2\n")
