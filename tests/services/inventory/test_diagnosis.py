"""Every entry of the catalogue: the evidence that brings it about, and the words that it finds."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from libs.envelope import Event
from libs.events import (
    AnswersFailed,
    AnswersFetched,
    BootconfigFetched,
    InitrdFetched,
    InstallCancelled,
    InstallDone,
    InstallFailed,
    InstallProgress,
    InstallStalled,
    InstallStarted,
    KernelFetched,
    LeaseAcknowledged,
    LeaseDeclined,
    LeaseOffered,
    LeaseRefused,
    MachineUnknown,
    PoolExhausted,
    PxelinuxFetched,
    RivalDetected,
    TransferFailed,
)
from services.inventory.diagnosis import CATALOGUE, Diagnosis, diagnose
from services.inventory.evidence import Case
from services.inventory.lifecycle import State, fold
from services.inventory.sentences import sentence
from tests.services.inventory.support import START

Made = tuple[type[Event], dict[str, Any]]
FIRMWARE: dict[str, Any] = {"subnet": "rack1", "client": "pxe", "ip": "10.77.0.9", "arch": "x64-uefi"}
OFFER: Made = (LeaseOffered, FIRMWARE)
LEASE: Made = (LeaseAcknowledged, {**FIRMWARE, "boot_file": "shimx64.efi"})
SYSTEM: Made = (LeaseAcknowledged, {**FIRMWARE, "client": "other"})
LOADER: Made = (PxelinuxFetched, {"path": "pxelinux.0"})
CONFIG: Made = (BootconfigFetched, {"path": "grub.cfg"})
KERNEL: Made = (KernelFetched, {"path": "vmlinuz"})
INITRD: Made = (InitrdFetched, {"path": "initrd.img"})
ANSWERS: Made = (AnswersFetched, {"path": "ks.cfg"})
STARTED: Made = (InstallStarted, {})
DONE: Made = (InstallDone, {})
TO_DISK: Made = (BootconfigFetched, {"path": "x", "boots": "disk"})
PACKAGES: Made = (InstallProgress, {"phase": "packages"})
RIVAL: Made = (RivalDetected, {"subnet": "rack1", "server": "10.77.0.66"})
REFUSED: Made = (LeaseRefused, {**FIRMWARE, "requested": "10.9.9.9", "reason": "another network"})
UNDEFINED: Made = (AnswersFailed, {"reason": "rocky.ks.j2, line 3: 'disk' is undefined"})


def failed(reason: str, path: str = "shimx64.efi") -> Made:
    return (TransferFailed, {"path": path, "reason": reason, "bytes": 11264, "block": 8})


CASES: list[tuple[str, State, Sequence[Made], str]] = [
    ("pool-exhausted", State.ORDERED, [(PoolExhausted, {"subnet": "rack1"})], "Subnet rack1 has no free address"),
    ("address-refused", State.ORDERED, [REFUSED], "asked for 10.9.9.9 and was refused: another network"),
    ("boots-its-disk", State.ORDERED, [SYSTEM], "it boots its disk"),
    ("no-dhcp", State.ORDERED, [], "Nothing was heard of it"),
    ("rival-server", State.OFFERED, [OFFER, RIVAL], "another DHCP server, 10.77.0.66"),
    ("address-in-use", State.OFFERED, [OFFER, (LeaseDeclined, FIRMWARE)], "declined 10.77.0.9"),
    ("address-refused", State.OFFERED, [OFFER, REFUSED], "asked for 10.9.9.9"),
    ("offer-not-accepted", State.OFFERED, [OFFER, OFFER], "Our offer is not accepted"),
    ("rival-server", State.LEASED, [LEASE, RIVAL], "boots what that one says"),
    ("loader-missing", State.LEASED, [LEASE, failed("missing")], "shimx64.efi is not there"),
    ("transfer-refused", State.LEASED, [LEASE, failed("refused")], "was refused"),
    ("transfer-stopped", State.LEASED, [LEASE, failed("timed_out")], "at block 8 after 11264 bytes (timed_out)"),
    ("no-boot-file", State.LEASED, [(LeaseAcknowledged, FIRMWARE)], "named no boot program (architecture: x64-uefi)"),
    ("no-loader", State.LEASED, [LEASE], "has 10.77.0.9 but never asked for its boot loader shimx64.efi"),
    ("loader-part-missing", State.BOOTLOADER, [LOADER, failed("missing", "ldlinux.c32")], "asked for ldlinux.c32"),
    ("transfer-stopped", State.BOOTLOADER, [LOADER, failed("aborted")], "stopped at block 8"),
    ("told-to-boot-disk", State.BOOTLOADER, [LOADER, TO_DISK], "boots the disk"),
    ("no-configuration", State.BOOTLOADER, [LOADER], "never asked for its configuration"),
    ("kernel-missing", State.CONFIGURED, [CONFIG, failed("missing", "vmlinuz")], "The kernel vmlinuz is not there"),
    ("transfer-stopped", State.CONFIGURED, [CONFIG, failed("aborted", "vmlinuz")], "The transfer of vmlinuz stopped"),
    ("no-kernel", State.CONFIGURED, [CONFIG], "never fetched the kernel"),
    ("initrd-missing", State.KERNEL, [KERNEL, failed("missing", "initrd.img")], "initrd.img is not there"),
    ("transfer-stopped", State.KERNEL, [KERNEL, failed("timed_out", "initrd.img")], "The transfer of initrd.img"),
    ("no-initrd", State.KERNEL, [KERNEL], "not the initial ram disk"),
    ("template-error", State.INITRD, [INITRD, UNDEFINED], "rocky.ks.j2, line 3: 'disk' is undefined"),
    ("boot-loop", State.INITRD, [INITRD] * 4, "fetched its initial ram disk 4 times"),
    ("answers-unreachable", State.INITRD, [INITRD, SYSTEM], "has the address 10.77.0.9 but did not fetch"),
    ("installer-no-network", State.INITRD, [INITRD], "never asked for an address"),
    ("template-error", State.ANSWERS, [ANSWERS, UNDEFINED], "'disk' is undefined"),
    ("boot-loop", State.ANSWERS, [ANSWERS] * 5, "fetched its answer file 5 times"),
    ("installer-silent", State.ANSWERS, [ANSWERS], "did not report that it began"),
    ("restarted", State.INSTALLING, [STARTED, OFFER], "restarted from the network"),
    ("installer-silent", State.INSTALLING, [STARTED, PACKAGES], "last heard at: packages"),
    ("installer-silent", State.INSTALLING, [STARTED], "was not heard of again"),
    ("boots-network-again", State.INSTALLED, [DONE, OFFER], "boots from the network again"),
    ("never-booted", State.INSTALLED, [DONE], "not heard of since"),
    ("healthy", State.BOOTED, [DONE, SYSTEM], "came up from its disk"),
    ("installer-failed", State.FAILED, [(InstallFailed, {"reason": "no disk found"})], "gave up: no disk found"),
    ("cancelled", State.CANCELLED, [(InstallCancelled, {"by": "ann"})], "withdrew the install"),
]  # fmt: skip


def events_of(made: Sequence[Made]) -> list[Event]:
    return [
        kind(**values, mac="52:54:00:00:00:01", time=START + timedelta(seconds=number))
        for number, (kind, values) in enumerate(made, 1)
    ]


def judge(events: Sequence[Event], *, after: float = 60, strangers: Sequence[Event] = ()) -> Diagnosis:
    case = Case(fold(START, events), events, strangers)
    return diagnose(case, {}, START + timedelta(seconds=after))


@pytest.mark.parametrize(("code", "milestone", "made", "said"), CASES)
def test_the_evidence_is_told_with_its_likely_cause(
    code: str, milestone: State, made: Sequence[Made], said: str
) -> None:
    events = events_of(made)
    found = judge(events)
    assert found.code == code
    assert found.state is milestone
    assert said in found.cause
    assert found.next_step
    assert not re.search(r"\{[ecn]|None", found.cause + found.next_step)
    assert set(found.evidence) <= set(events)
    assert all(sentence(event) for event in found.evidence)


def test_hardware_that_nobody_registered_is_a_hint() -> None:
    stranger = MachineUnknown(mac="52:54:00:00:00:99", subnet="rack1", time=START)
    found = judge([], strangers=[stranger])
    assert (found.code, found.evidence) == ("other-hardware", (stranger,))
    assert "52:54:00:00:00:99" in found.cause


def test_an_installer_that_failed_without_a_reason_is_told_as_well() -> None:
    events = events_of([(InstallFailed, {})])
    assert judge(events).code == "installer-failed"


def test_every_entry_has_its_case() -> None:
    covered = {(code, at) for code, at, _, _ in CASES} | {("other-hardware", State.ORDERED)}
    assert {(entry.code, entry.at) for entry in CATALOGUE} == covered
    assert {entry.at for entry in CATALOGUE} == set(State) - {State.STALLED}


def test_overdue_is_said_by_the_deadline_or_by_the_stall() -> None:
    events = events_of([KERNEL])
    assert not judge(events, after=10).overdue
    assert judge(events, after=10).expected == "the loader fetches the initial ram disk"
    assert judge(events, after=3600).overdue
    stalled = [*events, InstallStalled(state="kernel", time=START + timedelta(seconds=700))]
    found = judge(stalled, after=701)
    assert (found.overdue, found.state, found.milestone, found.code) == (True, State.STALLED, State.KERNEL, "no-initrd")


def test_evidence_from_before_the_milestone_is_no_evidence() -> None:
    assert judge(events_of([LEASE, failed("missing"), LOADER])).code == "no-configuration"
