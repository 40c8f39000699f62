"""Bad input: one clear message that says what and where, exit code 2, and nothing half done."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Up, kickfleet
from tests.system.fleets import as_yaml, fleet, machine, stocked

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", autouse=True)
def _stock(deployment: Up) -> None:
    stocked(deployment)


def _refused(deployment: Up, tmp_path: Path, text: str, good: str) -> str:
    """The message about a file that also declares the machine `good`, which must not come to be."""
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    done = deployment.cli("apply", str(file))
    assert done.returncode == 2, done.stdout
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("kickfleet: ")
    assert good not in _machines(deployment), "nothing is half done"
    return done.stderr.replace(str(file), "fleet.yaml")


def _machines(deployment: Up) -> list[str]:
    return [machine["name"] for machine in deployment.get("/v1/machines", limit=1000)["items"]]


def _line(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def _with(number: int, **more: Any) -> dict[str, Any]:
    """A good fleet of two machines; `more` is added to the second."""
    declared = fleet(number, 2)
    declared["machines"][1] |= more
    return declared


def test_an_unknown_key(deployment: Up, tmp_path: Path) -> None:
    text = as_yaml(_with(50, adress="127.50.0.5"))
    message = _refused(deployment, tmp_path, text, "m50-1")
    where = f"fleet.yaml, line {_line(text, 'adress')}: machines[1].adress: there is no key 'adress' here"
    assert where in message
    assert "did you mean 'address'?" in message


def test_an_unknown_kind(deployment: Up, tmp_path: Path) -> None:
    declared = fleet(51)
    text = as_yaml({**declared, "machnes": [machine(51, 2)]})
    message = _refused(deployment, tmp_path, text, "m51-1")
    assert f"fleet.yaml, line {_line(text, 'machnes')}" in message
    assert "did you mean 'machines'?" in message


def test_a_hardware_address_twice(deployment: Up, tmp_path: Path) -> None:
    text = as_yaml(_with(52, macs=["52-54-00-34-00-01"]))
    message = _refused(deployment, tmp_path, text, "m52-1")
    assert f"fleet.yaml, line {_line(text, '52-54-00-34-00-01')}" in message
    assert "52:54:00:34:00:01" in message
    assert "m52-1" in message


def test_a_hardware_address_of_a_machine_that_stands(deployment: Up, tmp_path: Path) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(53)))
    declared = {"machines": [{"name": "m53-good", "macs": ["52:54:00:35:01:01"]}, {**machine(53, 1), "name": "m53-2"}]}
    message = _refused(deployment, tmp_path, as_yaml(declared), "m53-good")
    assert "m53-1" in message


def test_an_address_outside_its_subnet(deployment: Up, tmp_path: Path) -> None:
    text = as_yaml(_with(54, address="10.9.9.9"))
    message = _refused(deployment, tmp_path, text, "m54-1")
    assert f"fleet.yaml, line {_line(text, '10.9.9.9')}: machines[1].address" in message
    assert "subnet" in message


def test_a_template_with_an_undefined_variable(deployment: Up, tmp_path: Path) -> None:
    templates = deployment.settings.kickstart.templates
    templates.mkdir(exist_ok=True)
    (templates / "broken.ks.j2").write_text("text\nlang {{ vars.language_of_choice }}\nreboot\n")
    declared = fleet(55)
    declared["profiles"][0]["answers"] = "broken.ks.j2"
    text = as_yaml(declared)
    message = _refused(deployment, tmp_path, text, "m55-1")
    assert f"fleet.yaml, line {_line(text, 'broken.ks.j2')}" in message
    assert "broken.ks.j2, line 2" in message
    assert "language_of_choice" in message


def test_an_image_without_a_kernel(deployment: Up, tmp_path: Path) -> None:
    declared = fleet(56)
    del declared["images"][0]["kernel"]
    message = _refused(deployment, tmp_path, as_yaml(declared), "m56-1")
    assert "images[0].kernel: this is required" in message


def test_an_image_whose_kernel_is_not_there(deployment: Up, tmp_path: Path) -> None:
    declared = fleet(57)
    declared["images"].append({**declared["images"][0], "name": "hollow", "kernel": "kernels/vmlinuz"})
    text = as_yaml(declared)
    message = _refused(deployment, tmp_path, text, "m57-1")
    assert f"fleet.yaml, line {_line(text, 'kernels/vmlinuz')}: images[1].kernel: there is no file" in message
    assert str(deployment.settings.data / "images" / "hollow" / "kernels/vmlinuz") in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("machines:\n  - name: x\n bad", "fleet.yaml, line 3"),
        ("machines: [\n", "fleet.yaml, line 2"),
        ("- machines\n", "fleet.yaml"),
        ("machines:\n  - {name: a, name: b}\n", "fleet.yaml, line 2"),
        ("\x00\x01", "fleet.yaml"),
        ("machines: [{name: m58-1, macs: nonsense}]", "machines[0].macs"),
        ("machines: 5", "machines: "),
    ],
)
def test_what_is_no_fleet_file(deployment: Up, tmp_path: Path, text: str, expected: str) -> None:
    assert expected in _refused(deployment, tmp_path, text, "m58-1")


def test_a_fault_in_the_second_of_two_files_is_found_there(deployment: Up, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(as_yaml(fleet(59)))
    second.write_text("machines:\n  - name: m59-2\n    macs: ['52:54:00:3b:00:02']\n  - name: m59-3\n    macs: [zz]\n")
    done = deployment.cli("apply", str(first), str(second))
    assert done.returncode == 2
    assert f"{second}, line 5: machines[2].macs[0]" in done.stderr
    assert "m59-1" not in _machines(deployment)


def test_a_file_that_is_not_there(deployment: Up, tmp_path: Path) -> None:
    done = deployment.cli("apply", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert done.stderr == f"kickfleet: {tmp_path / 'none.yaml'} cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[dhcp]\nprot = 67\n", "there is no setting `dhcp.prot`; the nearest is `dhcp.port`"),
        ("[dhcp]\nport = 70000\n", "`dhcp.port` is wrong"),
        ('[tftp]\nlisten = "here"\n', "`tftp.listen` is wrong: 'here' is not host:port"),
        ("[dhcp\n", "cannot be read as TOML"),
    ],
)
def test_wrong_settings(tmp_path: Path, toml: str, expected: str) -> None:
    config = tmp_path / "kickfleet.toml"
    config.write_text(toml)
    for verb in ("up", "machines", "dhcp"):
        done = kickfleet(verb, "--config", str(config))
        assert done.returncode == 2
        assert done.stderr.startswith("kickfleet: ")
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "var").exists()
