"""What an operating system family has to say to be installed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libs.desired import ImageDocument
from services.kickstart.validate import Flaw


@dataclass(frozen=True)
class Target:
    """One machine as its installer's kernel command line names it."""

    hostname: str
    domain: str | None
    mac: str  # the card it boots from, lower-case colons
    answers_url: str
    tree_url: str  # the image's root, with a slash at the end


@dataclass(frozen=True)
class Family:
    """One family: one file, and one line in the table."""

    name: str
    template: str  # the answer file's template where the profile names none
    document: str  # the answer file's name in its address
    arguments: Callable[[Target, Sequence[str]], list[str]]  # the kernel command line, with the fleet's own options
    flaws: Callable[[str, ImageDocument], list[Flaw]]  # what the family's validator finds in an answer file
