"""What stops a simulated machine. The message is the reason as an operator would read it off the console."""

from typing import Literal

FailureKind = Literal["missing", "refused", "timed_out", "aborted", "broken"]


class SimulationError(Exception):
    """The machine cannot go on."""


class ConfigurationError(SimulationError):
    """A text that the machine was given (boot configuration, script, answer file) cannot be used."""


class LeaseError(SimulationError):
    """No address was to be had, or none that the machine can boot with."""


class TransferError(SimulationError):
    """A file did not arrive whole. `kind` says how it ended; a `missing` file is often no fault at all."""

    def __init__(self, message: str, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


class BootError(SimulationError):
    """What was loaded cannot be started, or there is nothing on the disk to start."""


class StandstillError(ConfigurationError):
    """A real machine would stand still here, or run in circles; nothing that a text says further on happens."""


class ReturnedError(SimulationError):
    """The boot loader gave up and returned to the firmware, which turns to its next boot device."""


class CallbackError(SimulationError):
    """A callback of the answer file was refused, or nobody took it in time."""
