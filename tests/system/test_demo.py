"""The demo, whole: every machine installed and every timeline right, also when something is killed in its middle."""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.demo.fleet import machines
from tests.support import needs
from tests.support.deployment import PROGRAMS, Up, alive, environment, eventually

pytestmark = pytest.mark.system
MACHINES = 24
ALLOWED = 60.0  # seconds, once everything is set up
LOADER_PLACES = ("/usr/lib/PXELINUX", "/usr/lib/syslinux", "/usr/share/syslinux", "/usr/lib/shim", "/usr/lib/grub")
UNDERWAY = ("kernel", "initrd", "answers", "installing", "installed")


def _start(data: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", "demo", "--machines", str(MACHINES), "--data", str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def _judged(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert out, err
    result: dict[str, Any] = json.loads(out)
    assert result["faults"] == []
    assert result["ok"]
    assert process.returncode == 0
    assert (result["installed"], result["machines"]) == (MACHINES, MACHINES)
    return result


def test_the_demo_installs_every_machine_in_a_minute_and_leaves_nothing(tmp_path: Path) -> None:
    process = _start(tmp_path, "--json")
    result = _judged(process)
    assert result["seconds"] < ALLOWED
    assert {"ordered", "leased", "kernel", "installing", "installed"} <= set(result["states"])
    assert list((tmp_path / "run").iterdir()) == []
    assert "Traceback" not in (tmp_path / "up.log").read_text()


@pytest.mark.parametrize("program", PROGRAMS)
def test_whatever_is_killed_in_the_middle_no_install_suffers(tmp_path: Path, program: str) -> None:
    process = _start(tmp_path, "--json")
    deployment = Up(tmp_path / "kickfleet.toml")
    eventually(lambda: (tmp_path / "admin.token").exists(), "inventory has started")
    eventually(lambda: _in_the_middle(deployment), "the installs are under way")
    before = deployment.kill(program)
    eventually(lambda: not alive(before), f"{program} is dead")
    assert _judged(process)["restarts"] == [program]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_broken_off_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    process = _start(tmp_path, "--json")
    deployment = Up(tmp_path / "kickfleet.toml")
    eventually(lambda: (tmp_path / "fleet.yaml").exists(), "the fleet is declared")
    pids = [eventually(partial(deployment.pid, name), name) for name in (*PROGRAMS, "up")]
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (-number if number is signal.SIGKILL else 130)
    assert (out, "Traceback" in err) == ("", False)
    eventually(lambda: not [pid for pid in pids if alive(pid)], "all have ended", timeout=15)


def test_without_boot_loader_packages_and_without_rights_stand_ins_are_served_and_said(tmp_path: Path) -> None:
    needs.root()  # only to take away what the host has
    hidden = " ".join(f"; [ ! -d {place} ] || mount -t tmpfs none {place}" for place in LOADER_PLACES)
    helpless = f"{needs.program('setpriv', 'util-linux')} --bounding-set=-all --inh-caps=-all"
    command = f"{sys.executable} -m services.cli demo --machines 6 --data {tmp_path}"
    done = subprocess.run(
        [needs.program("unshare", "util-linux"), "--mount", "sh", "-c", f"true{hidden}; exec {helpless} {command}"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = "pxelinux.0, ldlinux.c32, shimx64.efi, grubx64.efi"
    assert f"no package of this host brings {names}: stand-in files are served" in done.stdout
    assert "6 of 6 machines installed" in done.stdout
    assert "every timeline is complete, in order, and nothing is in it twice" in done.stdout


def _in_the_middle(deployment: Up) -> bool:
    """A third of the machines runs the installer or is beyond it; another third is not there yet."""
    with deployment.api() as api:
        try:
            items = api.get("/v1/machines", params={"limit": 1000}).raise_for_status().json()["items"]
        except httpx.HTTPError:
            return False
    beyond = sum(machine["status"]["state"] in UNDERWAY for machine in items)
    return MACHINES // 3 <= beyond <= 2 * MACHINES // 3


def test_the_machines_of_the_demo_are_mixed_and_named() -> None:
    specs = machines(200)
    assert len({spec.mac for spec in specs}) == 200
    assert [specs[0].name, specs[-1].name] == ["node001", "node200"]
    assert len({spec.firmware for spec in specs}) == 3
