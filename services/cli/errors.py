"""How a verb ends when it does not end well. The message says what, where, and what would help."""

EXIT_FAILED = 1
EXIT_WRONG_USE = 2
EXIT_INTERRUPTED = 130


class CliError(Exception):
    """One clear message for standard error, and the exit code of the program.

    `problems` are the single faults of an input: `field`, `message`, `remedy`, and `where` it is written, if known.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, problems: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []

    @property
    def details(self) -> list[dict[str, str]]:
        """The problems, unless the message is the only one of them already."""
        said = len(self.problems) == 1 and self.problems[0]["message"] in str(self)
        return [] if said else self.problems


class Failed(CliError):
    """What was asked for was tried and did not succeed."""


class WrongUse(CliError):
    """What was asked for cannot be meant so: a wrong option, name or file. Nothing was done."""

    exit_code = EXIT_WRONG_USE
