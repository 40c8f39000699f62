"""The demo's verdict finds everything that may not be: it is what the tests of kills rest on."""

from copy import deepcopy
from typing import Any

import pytest

from libs.simulator.stages import Outcome, Result, Stage
from services.cli.demo.verdict import EVIDENCE, Story, faults, percentile, stage_seconds
from services.cli.scene import MILESTONES

STAGES = {stage: float(number) for number, stage in enumerate(EVIDENCE)}


def _timeline() -> dict[str, Any]:
    events = [{"id": str(n), "type": types[0], "time": f"{n:03}"} for n, types in enumerate(EVIDENCE.values())]
    return {
        "install": {"state": "booted", "machine": "node01"},
        "states": [{"state": state, "seconds": 1.0} for state in MILESTONES],
        "items": [{"event": event} for event in events],
    }


def _faults(timeline: dict[str, Any], outcome: Outcome = Outcome.BOOTED) -> list[str]:
    result = Result("52:54:00:00:00:01", "node01", outcome, stages=dict(STAGES))
    return faults([Story(result, timeline)])


def test_a_whole_story_has_no_fault() -> None:
    assert _faults(_timeline()) == []


def test_a_machine_or_an_install_that_ended_otherwise_is_a_fault() -> None:
    timeline = _timeline()
    timeline["install"]["state"] = "stalled"
    assert _faults(timeline, Outcome.FAILED) == ["node01: the machine failed: ", "node01: its install is stalled"]


@pytest.mark.parametrize("stage", EVIDENCE)
def test_what_a_machine_did_must_be_told(stage: Stage) -> None:
    timeline = _timeline()
    timeline["items"] = [item for item in timeline["items"] if item["event"]["type"] not in EVIDENCE[stage]]
    assert any(f"it reached {stage}, but" in fault for fault in _faults(timeline))


def test_a_state_that_was_left_out_twice_taken_or_gone_back_to_is_a_fault() -> None:
    timeline = _timeline()
    without = deepcopy(timeline)
    without["states"] = [span for span in without["states"] if span["state"] != "kernel"]
    assert _faults(without) == ["node01: its install never was kernel"]
    timeline["states"].append({"state": "leased", "seconds": 1.0})
    found = _faults(timeline)
    assert any("went backwards" in fault for fault in found)
    assert any("the state leased is there 2 times" in fault for fault in found)


def test_an_event_twice_or_out_of_order_is_a_fault() -> None:
    twice = _timeline()
    twice["items"].insert(3, twice["items"][2])
    assert any("the event 2 is there 2 times" in fault for fault in _faults(twice))
    done = _timeline()
    done["items"].append({"event": {"id": "new", "type": "install.done", "time": "999"}})
    assert any("a single event install.done is there 2 times" in fault for fault in _faults(done))
    reversed_ = _timeline()
    reversed_["items"].reverse()
    assert "node01: its timeline is not in the order of time" in _faults(reversed_)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    assert [percentile(values, share) for share in (0.0, 0.25, 0.5, 0.51, 0.95, 1.0)] == [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    assert stage_seconds([]) == {}
