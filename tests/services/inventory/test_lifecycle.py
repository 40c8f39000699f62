"""The state table: milestones go forward only, in any order of arrival, and every rule says why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.envelope import CATALOGUE, Event
from libs.events import (
    BootconfigFetched,
    InstallCancelled,
    InstallDone,
    InstallFailed,
    InstallProgress,
    InstallStalled,
    InstallStarted,
    KernelFetched,
    LeaseAcknowledged,
    LeaseOffered,
    MachineBooted,
)
from services.inventory.lifecycle import (
    ACTIVE,
    ENDED,
    INFO,
    MILESTONES,
    RANK,
    RULES,
    STATES,
    Life,
    State,
    begin,
    deadline,
    fold,
    step,
    walk,
)
from tests.services.inventory.support import START, journey

JOURNEY = list(journey(1, START, install_id="one"))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def live(*events: Event) -> Life:
    return fold(START, events)


def test_a_whole_journey_passes_every_milestone_in_order() -> None:
    life = fold(START, JOURNEY)
    assert life.state is State.BOOTED
    assert list(life.reached) == list(MILESTONES)
    assert life.closed == JOURNEY[-1].time
    assert [step.after.state for step in walk(START, JOURNEY)] == sorted(
        (step.after.state for step in walk(START, JOURNEY)), key=lambda state: RANK[state]
    )


def test_every_state_is_told_of_and_every_rule_has_its_sentence() -> None:
    assert [info.state for info in STATES] == list(State)
    assert all(info.sentence.endswith(".") for info in STATES)
    assert all(rule.sentence.endswith(".") and rule.event in CATALOGUE for rule in RULES)
    assert {rule.to for rule in RULES} == set(State) - {State.ORDERED}


def test_every_state_under_way_has_a_deadline_and_an_expectation() -> None:
    for state in ACTIVE - {State.STALLED}:
        assert INFO[state].limit
        assert INFO[state].expects
        assert INFO[state].boots == "install"
    assert all(INFO[state].boots == "disk" for state in ENDED)


def test_firmware_proves_a_lease_and_an_installed_system_does_not() -> None:
    system = LeaseAcknowledged(subnet="a", client="other", time=at(1))
    assert live(system).state is State.ORDERED
    assert live(replace(system, client="http")).state is State.LEASED


def test_a_configuration_that_boots_the_disk_proves_nothing() -> None:
    assert live(BootconfigFetched(path="x", boots="disk", time=at(1))).state is State.ORDERED
    assert live(BootconfigFetched(path="x", boots="install", time=at(1))).state is State.CONFIGURED


def test_milestones_may_be_skipped_and_repeated() -> None:
    life = live(KernelFetched(path="k", time=at(1)), LeaseOffered(subnet="a", client="pxe", time=at(2)))
    assert life.state is State.KERNEL
    assert life.entered == at(1)


def test_done_is_worth_more_than_an_earlier_failure_and_a_later_failure_is_too_late() -> None:
    failed, done = InstallFailed(reason="no disk", time=at(2)), InstallDone(time=at(3))
    assert live(failed).state is State.FAILED
    assert live(failed).reason == "no disk"
    assert live(failed).boots == "disk"
    assert live(failed, done).state is State.INSTALLED
    assert live(failed, done).reason == ""
    assert live(replace(done, time=at(1)), failed).state is State.INSTALLED


def test_a_failure_is_not_undone_by_a_milestone() -> None:
    assert live(InstallFailed(time=at(2)), InstallStarted(time=at(3))).state is State.FAILED


def test_a_withdrawal_is_final_unless_the_system_was_on_the_disk_before() -> None:
    cancelled, done = InstallCancelled(time=at(2)), InstallDone(time=at(3))
    assert live(cancelled, done, MachineBooted(time=at(4))).state is State.CANCELLED
    assert live(cancelled).closed == at(2)
    assert live(cancelled, replace(done, time=at(1))).state is State.INSTALLED


def test_only_what_is_no_firmware_after_installed_has_booted() -> None:
    done = InstallDone(time=at(1))
    assert live(done, LeaseAcknowledged(subnet="a", client="pxe", time=at(2))).state is State.INSTALLED
    assert live(done, LeaseAcknowledged(subnet="a", client="other", time=at(2))).state is State.BOOTED
    assert live(done, LeaseAcknowledged(subnet="a", client="other", time=at(0))).state is State.INSTALLED


def stall(state: State, seconds: float) -> InstallStalled:
    return InstallStalled(state=state, reason="silence", time=at(seconds))


def test_a_stall_is_left_by_the_next_milestone() -> None:
    kernel = KernelFetched(path="k", time=at(1))
    stalled = live(kernel, stall(State.KERNEL, 600))
    assert (stalled.state, stalled.milestone, stalled.reason) == (State.STALLED, State.KERNEL, "silence")
    assert stalled.boots == "install"
    again = LeaseOffered(subnet="a", client="pxe", time=at(700))
    assert live(kernel, stall(State.KERNEL, 600), again).state is State.STALLED
    on = live(kernel, stall(State.KERNEL, 600), again, InstallStarted(time=at(800)))
    assert (on.state, on.reason, on.entered) == (State.INSTALLING, "", at(800))


def test_the_installers_progress_ends_its_own_stall_and_restarts_the_clock() -> None:
    events = [InstallStarted(time=at(1)), stall(State.INSTALLING, 3601)]
    life = live(*events, InstallProgress(percent=12.0, phase="packages", time=at(3700)))
    assert (life.state, life.percent, life.message) == (State.INSTALLING, 12.0, "packages")
    assert deadline(life, {}) == at(3700 + 3600)


def test_a_stall_that_came_too_late_changes_nothing() -> None:
    assert live(KernelFetched(path="k", time=at(1)), stall(State.ORDERED, 2)).state is State.KERNEL
    assert live(InstallFailed(time=at(1)), stall(State.ORDERED, 2)).state is State.FAILED


def test_deadlines_come_from_the_limits_or_the_table_and_end_with_the_install() -> None:
    life = begin(START)
    assert deadline(life, {}) == START + timedelta(seconds=INFO[State.ORDERED].limit or 0)
    assert deadline(life, {"ordered": 5}) == at(5)
    assert deadline(live(stall(State.ORDERED, 1)), {"ordered": 5}) is None
    assert deadline(live(InstallDone(time=at(1))), {}) is None
    assert deadline(live(InstallDone(time=at(1))), {"installed": 60}) == at(61)
    assert deadline(live(InstallFailed(time=at(1))), {}) is None


times = st.integers(0, 4000).map(at)
events = st.one_of(
    st.builds(LeaseOffered, subnet=st.just("a"), client=st.sampled_from(["pxe", "other"]), time=times),
    st.builds(LeaseAcknowledged, subnet=st.just("a"), client=st.sampled_from(["pxe", "ipxe", "other"]), time=times),
    st.builds(BootconfigFetched, path=st.just("x"), boots=st.sampled_from(["install", "disk"]), time=times),
    *(
        st.builds(CATALOGUE[kind], path=st.just("x"), time=times)
        for kind in ("shim.fetched", "kernel.fetched", "initrd.fetched", "answers.fetched")
    ),
    st.builds(InstallProgress, percent=st.floats(0, 100), time=times),
    *(
        st.builds(kind, time=times)
        for kind in (InstallStarted, InstallDone, InstallFailed, InstallCancelled, MachineBooted)
    ),
    st.builds(InstallStalled, state=st.sampled_from([str(state) for state in MILESTONES[:-1]]), time=times),
)


@given(st.lists(events, max_size=30), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_make_the_same_life(history: Sequence[Event], random: Random) -> None:
    shuffled = [*history, *history[: len(history) // 2]]
    random.shuffle(shuffled)
    assert fold(START, shuffled) == fold(START, history)


@given(st.lists(events, max_size=30))
def test_folding_one_by_one_is_folding_all(history: Sequence[Event]) -> None:
    life = begin(START)
    for event in sorted(history, key=lambda event: (event.time, event.id)):
        life = step(life, event)
    assert life == fold(START, history)


@given(st.lists(events, max_size=30))
def test_no_event_leads_back(history: Sequence[Event]) -> None:
    ordered = sorted(history, key=lambda event: (event.time, event.id))
    for one in walk(START, ordered):
        assert RANK[one.after.milestone] >= RANK[one.before.milestone]
        if one.before.ended is State.CANCELLED or one.before.milestone is State.BOOTED:
            assert one.after.state is one.before.state
        if one.after.state is State.STALLED:
            assert one.after.milestone is not State.BOOTED
        assert one.after.state not in ACTIVE or one.after.boots == "install" or one.after.milestone is State.INSTALLED


@given(st.lists(events, max_size=30))
def test_nothing_under_way_is_without_a_deadline_or_a_stall(history: Sequence[Event]) -> None:
    life = fold(START, history)
    if life.state in ACTIVE:
        assert life.stalled or deadline(life, {}) is not None


@pytest.mark.parametrize("state", list(State))
def test_states_sort_into_active_and_ended(state: State) -> None:
    assert (state in ACTIVE) is not (state in ENDED)
