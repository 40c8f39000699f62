"""The stages of a machine's life, in order, and what a machine reports of itself."""

from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """A stage is named by what has just been reached."""

    POWERED = "powered"  # the firmware runs
    OFFERED = "offered"  # the firmware was offered an address
    LEASED = "leased"  # the firmware has an address
    BOOTLOADER = "bootloader"  # the boot program arrived
    CONFIGURED = "configured"  # its configuration arrived
    KERNEL = "kernel"
    INITRD = "initrd"
    INSTALLER = "installer"  # the installer's environment has an address
    ANSWERS = "answers"  # the answer file arrived
    STARTED = "started"  # the callbacks before the installation were taken
    INSTALLING = "installing"  # the install tree was read from
    INSTALLED = "installed"  # the system is on the disk, all callbacks were taken
    BOOTED = "booted"  # the installed system has an address

    @property
    def order(self) -> int:
        """Its place in a machine's life."""
        return list(type(self)).index(self)


class Outcome(StrEnum):
    """How the simulation of a machine ended."""

    BOOTED = "booted"
    STOPPED = "stopped"  # it was told to stop at a stage
    REINSTALLED = "reinstalled"  # it was told to install again after it had reported that it was done
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """A machine reached a stage, or (stage None) something went wrong. `at`: seconds since the fleet's start."""

    mac: str
    name: str
    at: float
    stage: Stage | None = None
    detail: str = ""
    attempt: int = 1


@dataclass(frozen=True)
class Result:
    """One machine's life: the outcome, the reason where it is no good one, every stage with its first time."""

    mac: str
    name: str
    outcome: Outcome
    reason: str = ""
    attempts: int = 1  # how often the firmware started
    address: str | None = None
    stages: dict[Stage, float] = field(default_factory=dict)  # seconds since the fleet's start
    faults: tuple[str, ...] = ()  # what went wrong on the way and was survived
    bytes: int = 0  # received in files

    @property
    def ok(self) -> bool:
        """Did it end as it was told to?"""
        return self.outcome in (Outcome.BOOTED, Outcome.STOPPED)
