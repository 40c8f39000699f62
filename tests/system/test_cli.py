"""The command line against a real deployment: what operators and their scripts see."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deployment import Up, environment, eventually, up
from tests.system.fleets import as_yaml, fleet, machine, stocked

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", autouse=True)
def _stock(deployment: Up) -> None:
    stocked(deployment)


def _simulate(deployment: Up, number: int, *options: str) -> Any:
    relay = f"127.{number}.0.1"
    what = ("--registered", f"set={number}", "--relay", relay, "--pace", "0.5")
    return deployment.cli("simulate", *what, *options)


# --- strangers ------------------------------------------------------------------------------------------------------


def test_an_unknown_machine_is_seen_adopted_with_one_command_and_installs(deployment: Up, tmp_path: Path) -> None:
    declared = fleet(25) | {"machines": []}
    (tmp_path / "fleet.yaml").write_text(as_yaml(declared))
    deployment.ok("apply", str(tmp_path / "fleet.yaml"))
    mac = "52:54:00:19:00:01"
    assert deployment.cli("simulate", "1", "--first-mac", mac, "--relay", "127.25.0.1", "--limit", "2").returncode == 1
    (seen,) = eventually(lambda: deployment.json("unknown", "--subnet", "net25"), "it is listed")
    assert (seen["mac"], seen["client"]) == (mac, "pxe")
    assert mac in deployment.ok("unknown")
    assert deployment.cli("adopt", "52:54:00:19:00:99", "--name", "m25-1").returncode == 2
    wrong = deployment.cli("adopt", mac, "--name", "m25-1", "--tag", "rack")
    assert (wrong.returncode, "write it like rack=r7" in wrong.stderr) == (2, True)
    assert "m25-1 is registered" in deployment.ok(
        "adopt", mac, "--name", "m25-1", "--profile", "web25", "--tag", "set=25"
    )
    assert deployment.json("unknown", "--subnet", "net25") == []
    deployment.ok("install", "m25-1")
    assert _simulate(deployment, 25).returncode == 0


# --- apply ----------------------------------------------------------------------------------------------------------


def test_apply_says_what_it_did_and_does_nothing_twice(deployment: Up, tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(as_yaml(fleet(10)))
    dry = deployment.json("apply", "--dry-run", str(file))
    assert dry["dry_run"]
    assert "machines/m10-1" in dry["created"]
    assert deployment.cli("machines", "m10-1").returncode == 2
    assert set(deployment.json("apply", str(file))["created"]) == set(dry["created"])
    assert deployment.json("apply", str(file))["created"] == []
    again = deployment.ok("apply", str(file))
    assert again.strip().endswith("unchanged")
    file.write_text(as_yaml({"machines": [{**machine(10, 1), "tags": {"set": "10", "rack": "r9"}}]}))
    assert deployment.json("apply", str(file))["changed"] == ["machines/m10-1"]


def test_apply_reads_standard_input_and_several_files_as_one(deployment: Up, tmp_path: Path) -> None:
    declared = fleet(11, 2)
    second = tmp_path / "machines.yaml"
    second.write_text(as_yaml({"machines": declared.pop("machines")}))
    created = deployment.json("apply", "-", str(second), text=as_yaml(declared))["created"]
    assert {"subnets/net11", "machines/m11-1", "machines/m11-2"} <= set(created)


def test_apply_prunes_only_when_told(tmp_path: Path) -> None:
    with up(tmp_path) as own:
        stocked(own)
        own.ok("apply", "-", text=as_yaml(fleet(12, 2)))
        rest = as_yaml({"machines": [machine(12, 1)]})
        assert own.json("apply", "-", text=rest)["removed"] == []
        assert own.json("apply", "--prune", "-", text=rest)["removed"] == ["machines/m12-2"]


# --- looking --------------------------------------------------------------------------------------------------------


def test_lists_and_single_resources_for_people_and_for_programs(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(13, 3)))
    listed = deployment.json("machines", "--tag", "set=13")
    assert [item["name"] for item in listed] == ["m13-1", "m13-2", "m13-3"]
    assert deployment.ok("machines", "--tag", "set=13").splitlines()[1].startswith("m13-1")
    one = deployment.json("machines", "m13-2")
    assert (one["name"], one["macs"], one["status"]["state"]) == ("m13-2", ["52:54:00:0d:00:02"], None)
    for kind, name in (("subnets", "net13"), ("profiles", "web13"), ("images", "demo-os")):
        assert name in [item["name"] for item in deployment.json(kind)]
        assert deployment.json(kind, name)["name"] == name
        assert name in deployment.ok(kind)
    assert deployment.json("webhooks") == []


def test_a_name_that_is_not_there_is_answered_with_the_nearest(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(14)))
    for call in (("machines", "m14-l"), ("why", "m14-l"), ("render", "m14-l"), ("cancel", "m14-l")):
        done = deployment.cli(*call)
        assert done.returncode == 2
        assert done.stderr.strip() == "kickfleet: there is no machine 'm14-l'; did you mean 'm14-1'?"
    done = deployment.cli("install", "m14-l")
    assert done.returncode == 2
    assert "did you mean 'm14-1'?" in done.stderr


def test_render_shows_every_file_and_changes_nothing(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(15)))
    rendered = deployment.json("render", "m15-1", "--validate")
    assert rendered["errors"] == []
    names = set(rendered["files"])
    assert {"ks.cfg", "pxelinux.cfg/01-52-54-00-0f-00-01"} <= names
    assert "── ks.cfg" in deployment.ok("render", "m15-1")
    assert deployment.ok("render", "m15-1", "--file", "ks.cfg").rstrip() == rendered["files"]["ks.cfg"].rstrip()
    assert deployment.state("m15-1") is None


def test_doctor_finds_a_working_deployment_well(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(16)))
    report = deployment.json("doctor")
    assert report["ok"]
    found = {(finding["check"], finding["level"]) for finding in report["findings"]}
    assert {("services", "ok"), ("bus", "ok"), ("port", "ok"), ("images", "ok"), ("subnets", "ok")} <= found
    assert not [finding for finding in report["findings"] if finding["level"] == "fail"]


def test_doctor_names_what_is_missing_with_its_remedy(deployment: Up) -> None:
    declared = fleet(17)
    declared["images"] = [{**declared["images"][0], "name": "gone"}]
    declared["profiles"][0]["image"] = "gone"
    declared["subnets"][0]["interface"] = "nic17"
    folder = deployment.settings.data / "images" / "gone"
    folder.symlink_to(deployment.settings.data / "images" / "demo-os")
    deployment.ok("apply", "-", text=as_yaml(declared))
    folder.unlink()
    done = deployment.cli("doctor", "--json")
    deployment.ok("apply", "--prune", "-", text=as_yaml({"subnets": [], "machines": [], "images": [], "profiles": []}))
    assert done.returncode == 1
    failed = {f["check"]: f for f in json.loads(done.stdout)["findings"] if f["level"] == "fail"}
    assert failed["images"]["message"].startswith("gone: images/pxeboot/vmlinuz, images/pxeboot/initrd.img not found")
    assert failed["subnets"]["message"] == "net17: there is no interface nic17"
    assert all(finding["remedy"] for finding in failed.values())


# --- installs -------------------------------------------------------------------------------------------------------


def test_an_install_is_ordered_waited_for_and_told(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(20, 3)))
    waiting = subprocess.Popen(
        [*_command(deployment, "install", "set=20", "--wait", "--timeout", "90", "--json")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    eventually(lambda: deployment.state("m20-3"), "the installs are ordered")
    simulated = _simulate(deployment, 20)
    assert simulated.returncode == 0, simulated.stdout
    out, _ = waiting.communicate(timeout=90)
    assert waiting.returncode == 0
    *events, result = map(json.loads, out.splitlines())
    assert result["ok"]
    assert [install["state"] in ("installed", "booted") for install in result["installs"]] == [True] * 3
    assert {"install.done", "state.changed"} <= {event["type"] for event in events}
    eventually(lambda: deployment.state("m20-1") == "booted", "it booted")
    told = deployment.ok("installs", "m20-1")
    assert "m20-1  install" in told
    assert "is installed; its next boot is from the disk" in told
    timeline = deployment.json("installs", "m20-1")
    assert timeline["install"]["state"] == "booted"
    assert deployment.json("why", "m20-1")["code"] == "healthy"


def _command(deployment: Up, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "services.cli", *arguments, "--config", str(deployment.config)]


def test_a_failed_install_is_a_failed_wait_and_why_says_so(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(21)))
    deployment.ok("install", "m21-1")
    assert _simulate(deployment, 21, "--fails", "no disk found").returncode == 1
    eventually(lambda: deployment.state("m21-1") == "failed", "it failed")
    why = deployment.ok("why", "m21-1")
    assert why.startswith("m21-1 is failed")
    assert "no disk found" in why
    waited = deployment.cli("retry", "m21-1", "--wait", "--timeout", "0.5")
    assert waited.returncode == 1
    assert "m21-1 is ordered" in waited.stdout
    assert waited.stdout.strip().endswith("0 of 1 machine installed; the time is up")
    assert deployment.json("cancel", "m21-1")[0]["state"] == "cancelled"


def test_why_names_where_a_machine_stopped(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(22)))
    deployment.ok("install", "m22-1")
    assert _simulate(deployment, 22, "--firmware", "bios", "--stop-at", "leased").returncode == 0
    eventually(lambda: deployment.state("m22-1") == "leased", "the lease is known")
    diagnosis = deployment.json("why", "m22-1")
    assert diagnosis["expected"] == "it fetches the boot loader"
    assert diagnosis["code"] == "no-loader"
    assert "leased" in deployment.ok("why", "m22-1").splitlines()[0]
    deployment.ok("cancel", "m22-1")


def test_what_cannot_be_ordered_is_refused_whole(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(23, 2)))
    deployment.ok("install", "m23-1")
    done = deployment.cli("install", "m23-1", "m23-2")
    assert done.returncode == 2
    assert "under way" in done.stderr
    assert deployment.state("m23-2") is None
    deployment.ok("cancel", "m23-1")


# --- events ---------------------------------------------------------------------------------------------------------


def test_events_are_listed_filtered_and_read_like_sentences(deployment: Up) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(30)))
    eventually(lambda: deployment.get("/v1/events", machine="m30-1")["items"], "it came back from the stream")
    event = deployment.json("events", "--machine", "m30-1", "--type", "machine.*")[0]
    assert (event["type"], event["data"]["machine"]) == ("machine.registered", "m30-1")
    line = deployment.ok("events", "--machine", "m30-1", "--since", "10m").splitlines()[0]
    assert line.split()[1:] == ["m30-1", "machine.registered", "was", "registered"]
    done = deployment.cli("events", "--type", "machine.registerd")
    assert done.returncode == 2
    assert "did you mean 'machine.registered'?" in done.stderr


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Any]:
    """Starts a verb that does not end by itself; its output goes to the file that this gives."""
    running: list[subprocess.Popen[bytes]] = []

    def start(of: Up, *call: str) -> Path:
        out = tmp_path / f"follow{len(running)}"
        with out.open("w") as file, (tmp_path / "errors").open("w") as errors:
            running.append(subprocess.Popen(_command(of, *call), stdout=file, stderr=errors, env=environment()))
        return out

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_a_watched_list_is_told_anew_when_it_changes(deployment: Up, follow: Any) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(32, 1)))
    out = follow(deployment, "machines", "-w", "--tag", "set=32", "--json")
    eventually(lambda: len(out.read_text().splitlines()) == 1, "the list")
    deployment.ok("install", "m32-1")
    eventually(lambda: len(out.read_text().splitlines()) == 2, "the changed list")
    before, after = (json.loads(line)[0]["status"]["state"] for line in out.read_text().splitlines())
    assert (before, after) == (None, "ordered")
    deployment.ok("cancel", "m32-1")


def test_tail_follows_from_the_past_into_the_present(deployment: Up, follow: Any) -> None:
    deployment.ok("apply", "-", text=as_yaml(fleet(31, 1)))
    out = follow(deployment, "tail", "--since", "10m", "--machine", "m31-1", "--json")
    eventually(lambda: len(_types(out)) == 1, "the past")
    deployment.ok("install", "m31-1")
    deployment.ok("cancel", "m31-1")
    expected = ["machine.registered", "install.ordered", "install.cancelled", "state.changed"]
    eventually(lambda: len(_types(out)) >= len(expected), "the present")
    assert _types(out) == expected
    last = json.loads(out.read_text().splitlines()[1])["sequence"]
    behind = follow(deployment, "tail", "--since", str(last), "--machine", "m31-1", "--json")
    eventually(lambda: len(_types(behind)) >= 2, "from behind a sequence number")
    assert _types(behind) == expected[2:]


def _types(out: Path) -> list[str]:
    return [json.loads(line)["type"] for line in out.read_text().splitlines()]


def test_tail_survives_the_death_of_inventory_without_a_gap(tmp_path: Path, follow: Any) -> None:
    with up(tmp_path / "own") as own:
        _register(own, "t99", 99)
        out = follow(own, "tail", "--since", "1h", "--type", "machine.registered", "--json")
        eventually(lambda: _names(out) == ["t99"], "the stream is followed")
        names = [f"t{number:02}" for number in range(12)]
        for number, name in enumerate(names):
            if number % 4 == 2:
                own.kill("inventory")
            eventually(partial(_register, own, name, number), f"{name} is registered")
        names.append("t99")
        eventually(lambda: len(_names(out)) >= len(names), "all are told")
        assert sorted(_names(out)) == names


def _register(deployment: Up, name: str, number: int) -> bool:
    """Declare a machine; False while inventory is away."""
    try:
        with deployment.api() as api:
            return api.put(f"/v1/machines/{name}", json={"macs": [f"52:54:00:28:00:{number:02x}"]}).is_success
    except httpx.TransportError:
        return False


def _names(out: Path) -> list[str]:
    return [json.loads(line)["data"]["machine"] for line in out.read_text().splitlines()]


# --- who may --------------------------------------------------------------------------------------------------------


def test_a_wrong_token_and_a_missing_service_are_told_from_each_other(deployment: Up, tmp_path: Path) -> None:
    refused = deployment.cli("machines", KICKFLEET_TOKEN="nonsense")
    assert refused.returncode == 2
    assert "does not know this token" in refused.stderr
    elsewhere = tmp_path / "kickfleet.toml"
    elsewhere.write_text('data = "var"\n[inventory]\nurl = "http://127.0.0.1:1"\n')
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "machines", "--config", str(elsewhere)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("kickfleet: inventory does not answer at http://127.0.0.1:1")
    assert "kickfleet up" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(deployment: Up) -> None:
    command = " ".join(_command(deployment, "events", "--json", "--limit", "1000"))
    done = subprocess.run(
        f"{command} | head -c 1", shell=True, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.stderr == ""
    assert os.waitstatus_to_exitcode(done.returncode) == 0
