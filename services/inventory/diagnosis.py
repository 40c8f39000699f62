"""Why an install does not go on: THE catalogue. Pure: a case comes in, a diagnosis goes out.

For each last milestone: what should have come next, what the events show instead, the likely cause, and the next
step to try. The first entry whose evidence is there is the diagnosis; the last one of each milestone always is.
"""

from dataclasses import dataclass
from datetime import datetime

from libs.envelope import Event
from libs.events import (
    AnswersFailed,
    AnswersFetched,
    BootconfigFetched,
    InitrdFetched,
    InstallFailed,
    InstallProgress,
    LeaseAcknowledged,
    LeaseDeclined,
    LeaseOffered,
    LeaseRefused,
    PoolExhausted,
    RivalDetected,
    TransferFailed,
)
from services.inventory.evidence import Case, Finder, no_boot_file, nothing, seen, strangers
from services.inventory.lifecycle import FIRMWARE, INFO, State, deadline

MOST_EVIDENCE = 8
MISSING, STOPPED, REFUSED = frozenset({"missing"}), frozenset({"aborted", "timed_out"}), frozenset({"refused"})
OTHER, DISK = frozenset({"other"}), frozenset({"disk"})
S = State


@dataclass(frozen=True)
class Entry:
    """One cause. `cause` and `step` may quote the case (`c`), the last piece of evidence (`e`) and their number."""

    code: str
    at: State
    finds: Finder
    cause: str
    step: str


TRANSFER = "The transfer of {e.path} stopped at block {e.block} after {e.bytes} bytes ({e.reason}): packets are lost."
PATH_STEP = (
    "Try a smaller block size (path MTU), look for loss and half-duplex on the way, and let UDP through firewalls."
)
TEMPLATE = "The answer file could not be rendered: {e.reason}"
TEMPLATE_STEP = "Correct the template or the variable it names, check with `kickfleet render --validate`, then retry."

CATALOGUE = (
    Entry(
        "pool-exhausted",
        S.ORDERED,
        seen(PoolExhausted),
        "Subnet {e.subnet} has no free address left for it.",
        "Widen the pool, shorten the lease time, or reserve an address for the machine.",
    ),
    Entry(
        "address-refused",
        S.ORDERED,
        seen(LeaseRefused),
        "It asked for {e.requested} and was refused: {e.reason}.",
        "Let the machine start over without its old address, and compare its subnet with the reservation.",
    ),
    Entry(
        "boots-its-disk",
        S.ORDERED,
        seen(LeaseAcknowledged, client=OTHER),
        "Not its firmware but an installed system asks for an address: it boots its disk.",
        "Put the network before the disk in the firmware's boot order, or choose the network once, and restart it.",
    ),
    Entry(
        "other-hardware",
        S.ORDERED,
        strangers,
        "Nothing was heard of it, but hardware that nobody registered asked for an address: {e.mac}.",
        "Compare that address with the machine's declared ones; correct `macs` if it is the same machine.",
    ),
    Entry(
        "no-dhcp",
        S.ORDERED,
        nothing,
        "Nothing was heard of it: it is off, does not boot from the network, or its broadcasts do not reach us.",
        "Power it on with the network first in its boot order; check cable, VLAN, relay and its hardware address.",
    ),
    Entry(
        "rival-server",
        S.OFFERED,
        seen(RivalDetected),
        "It took the offer of another DHCP server, {e.server}.",
        "Stop that server on subnet {e.subnet}, or set the subnet to `mode: proxy` and let it give the addresses.",
    ),
    Entry(
        "address-in-use",
        S.OFFERED,
        seen(LeaseDeclined),
        "It declined {e.ip}: another host answers there.",
        "Find the host that uses {e.ip}, and take the address out of the pool.",
    ),
    Entry(
        "address-refused",
        S.OFFERED,
        seen(LeaseRefused),
        "It asked for {e.requested} and was refused: {e.reason}.",
        "Compare the address it insists on with its reservation and subnet.",
    ),
    Entry(
        "offer-not-accepted",
        S.OFFERED,
        nothing,
        "Our offer is not accepted: it does not arrive, or another server is preferred.",
        "Look for a rival (`kickfleet doctor`), and for a relay or firewall that drops UDP port 68.",
    ),
    Entry(
        "rival-server",
        S.LEASED,
        seen(RivalDetected),
        "It took the offer of another DHCP server, {e.server}, and boots what that one says.",
        "Stop that server on subnet {e.subnet}.",
    ),
    Entry(
        "loader-missing",
        S.LEASED,
        seen(TransferFailed, reason=MISSING),
        "The boot loader {e.path} is not there.",
        "Install the loader's package or put the file into the loaders' folder; `kickfleet doctor` tells which.",
    ),
    Entry(
        "transfer-refused",
        S.LEASED,
        seen(TransferFailed, reason=REFUSED),
        "The request for {e.path} was refused. {e.detail}",
        "Compare the boot file that the machine was named with what is served.",
    ),
    Entry("transfer-stopped", S.LEASED, seen(TransferFailed, reason=STOPPED), TRANSFER, PATH_STEP),
    Entry(
        "no-boot-file",
        S.LEASED,
        no_boot_file,
        "Its lease named no boot program (architecture: {c.arch}).",
        "Check that a boot loader for this architecture is there, and that the machine is to be installed.",
    ),
    Entry(
        "no-loader",
        S.LEASED,
        nothing,
        "It has {c.address} but never asked for its boot loader {c.boot_file} (architecture: {c.arch}).",
        "Check that it reaches UDP port 69, the subnet's `next_server`, and that the file fits its architecture.",
    ),
    Entry(
        "loader-part-missing",
        S.BOOTLOADER,
        seen(TransferFailed, reason=MISSING),
        "The loader asked for {e.path}, which is not there.",
        "Install the loader's package whole; if it is a configuration, look whether kickstart runs.",
    ),
    Entry("transfer-stopped", S.BOOTLOADER, seen(TransferFailed), TRANSFER, PATH_STEP),
    Entry(
        "told-to-boot-disk",
        S.BOOTLOADER,
        seen(BootconfigFetched, boots=DISK),
        "It was given an old configuration that boots the disk.",
        "Look whether kickstart runs and the bus is up (`kickfleet doctor`), then restart the machine.",
    ),
    Entry(
        "no-configuration",
        S.BOOTLOADER,
        nothing,
        "The loader arrived but never asked for its configuration: it does not run.",
        "Check Secure Boot (use shim), the architecture ({c.arch}), and the machine's screen.",
    ),
    Entry(
        "kernel-missing",
        S.CONFIGURED,
        seen(TransferFailed, reason=MISSING),
        "The kernel {e.path} is not there.",
        "Copy the installation tree there again, or correct the image's `kernel`.",
    ),
    Entry("transfer-stopped", S.CONFIGURED, seen(TransferFailed), TRANSFER, PATH_STEP),
    Entry(
        "no-kernel",
        S.CONFIGURED,
        nothing,
        "The loader has its configuration but never fetched the kernel.",
        "Look at the machine's screen; look at `kickfleet render` for a configuration that the loader cannot read.",
    ),
    Entry(
        "initrd-missing",
        S.KERNEL,
        seen(TransferFailed, reason=MISSING),
        "The initial ram disk {e.path} is not there.",
        "Copy the installation tree there again, or correct the image's `initrd`.",
    ),
    Entry("transfer-stopped", S.KERNEL, seen(TransferFailed), TRANSFER, PATH_STEP),
    Entry(
        "no-initrd",
        S.KERNEL,
        nothing,
        "The kernel arrived, but not the initial ram disk.",
        "Check the machine's memory and its screen; a large file may need minutes over TFTP.",
    ),
    Entry("template-error", S.INITRD, seen(AnswersFailed), TEMPLATE, TEMPLATE_STEP),
    Entry(
        "boot-loop",
        S.INITRD,
        seen(InitrdFetched, 4),
        "It has fetched its initial ram disk {n} times: the installer's kernel does not stay up.",
        "Look at the machine's console for a panic; try other kernel options or a newer image.",
    ),
    Entry(
        "answers-unreachable",
        S.INITRD,
        seen(LeaseAcknowledged, client=OTHER),
        "The installer has the address {e.ip} but did not fetch its answer file.",
        "Check from that subnet that the address in `inst.ks=` or `url=` (kickstart.public_url) answers there.",
    ),
    Entry(
        "installer-no-network",
        S.INITRD,
        nothing,
        "The installer's kernel was loaded, but it never asked for an address or its answer file.",
        "Look at the console: a missing network driver, another card than BOOTIF names, or a kernel panic.",
    ),
    Entry("template-error", S.ANSWERS, seen(AnswersFailed), TEMPLATE, TEMPLATE_STEP),
    Entry(
        "boot-loop",
        S.ANSWERS,
        seen(AnswersFetched, 4),
        "It has fetched its answer file {n} times: the installer starts again and again.",
        "Look at the installer's first messages on the console; the answer file makes it stop.",
    ),
    Entry(
        "installer-silent",
        S.ANSWERS,
        nothing,
        "The installer has its answers but did not report that it began.",
        "Look at the console for a question or an error in the answer file; check that its callbacks reach kickstart.",
    ),
    Entry(
        "restarted",
        S.INSTALLING,
        seen(LeaseOffered, client=FIRMWARE),
        "The machine restarted from the network while it was installing.",
        "Look for a power failure or a crash of the installer; it will start over by itself.",
    ),
    Entry(
        "installer-silent",
        S.INSTALLING,
        seen(InstallProgress),
        "The installer was last heard at: {e.phase} {e.message}",
        "Look at its console and its logs; a slow mirror or disk may need a longer `limits: {{installing: …}}`.",
    ),
    Entry(
        "installer-silent",
        S.INSTALLING,
        nothing,
        "The installer began and was not heard of again.",
        "Look at its console and its logs; a slow mirror or disk may need a longer `limits: {{installing: …}}`.",
    ),
    Entry(
        "boots-network-again",
        S.INSTALLED,
        seen(LeaseOffered, client=FIRMWARE),
        "It boots from the network again, and is told to boot its disk.",
        "Put the disk before the network in its boot order, or see on its screen why the disk does not boot.",
    ),
    Entry(
        "never-booted",
        S.INSTALLED,
        nothing,
        "It was installed, and not heard of since: it is off, has a fixed address, or does not boot.",
        "Look at its console; a system that uses no DHCP is never seen to boot.",
    ),
    Entry("healthy", S.BOOTED, nothing, "It is installed and came up from its disk.", "Nothing is to be done."),
    Entry(
        "installer-failed",
        S.FAILED,
        seen(InstallFailed),
        "The installer gave up: {e.reason}",
        "Read its last lines in the logs, correct the cause, then `kickfleet retry`.",
    ),
    Entry(
        "installer-failed",
        S.FAILED,
        nothing,
        "The installer gave up and did not say why.",
        "Read its logs, then `kickfleet retry`.",
    ),
    Entry("cancelled", S.CANCELLED, nothing, "An operator withdrew the install.", "Order it again when it is wanted."),
)


@dataclass(frozen=True)
class Diagnosis:
    """What is known of an install that should go on. `overdue`: its deadline has passed."""

    code: str
    state: State
    milestone: State
    expected: str
    cause: str
    next_step: str
    evidence: tuple[Event, ...] = ()
    since: datetime | None = None
    due: datetime | None = None
    overdue: bool = False


def diagnose(case: Case, limits: dict[str, int], now: datetime) -> Diagnosis:
    """The diagnosis of an install."""
    life = case.life
    entry, evidence = next(
        (entry, found)
        for entry in CATALOGUE
        if entry.at is life.place and ((found := entry.finds(case)) or entry.finds is nothing)
    )
    quoted = {"c": case, "e": evidence[-1] if evidence else None, "n": len(evidence)}
    due = deadline(life, limits)
    return Diagnosis(
        code=entry.code,
        state=life.state,
        milestone=life.milestone,
        expected=INFO[life.place].expects,
        cause=" ".join(entry.cause.format(**quoted).split()),
        next_step=entry.step.format(**quoted),
        evidence=tuple(evidence[-MOST_EVIDENCE:]),
        since=case.since,
        due=due,
        overdue=life.stalled or (due is not None and due <= now),
    )
