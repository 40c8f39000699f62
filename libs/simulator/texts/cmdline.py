"""The kernel command line as Linux and the installers read it: words, quotes around spaces, the last one wins."""

import re
from dataclasses import dataclass

_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+|"')


@dataclass(frozen=True)
class CommandLine:
    """Options in their order; a flag's value is empty."""

    options: tuple[tuple[str, str], ...]

    def get(self, *names: str) -> str | None:
        """The value of the last option that has one of the names."""
        return next((value for name, value in reversed(self.options) if name in names), None)


def parse(line: str) -> CommandLine:
    """Read a command line. Nothing in it is an error."""
    words = (word.replace('"', "") for word in _WORD.findall(line))
    pairs = (word.partition("=") for word in words)
    return CommandLine(tuple((name, value) for name, _, value in pairs if name))
