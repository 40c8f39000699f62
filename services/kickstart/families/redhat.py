"""RHEL, Rocky, Alma, CentOS Stream, Fedora: Anaconda and its kickstart."""

import re
from collections.abc import Sequence

from libs.desired import ImageDocument
from libs.mac import dashed
from services.kickstart.families.family import Family, Target
from services.kickstart.validate import Flaw, kickstart_flaws

FIRST_FEDORA = 20  # version numbers from here on are Fedora's: no RHEL has come so far
KNOWN_RHEL = range(7, 11)
KNOWN_FEDORA = range(27, 47)


def _arguments(target: Target, options: Sequence[str]) -> list[str]:
    return [
        f"inst.ks={target.answers_url}",
        f"inst.repo={target.tree_url}",
        "ip=dhcp",
        f"BOOTIF=01-{dashed(target.mac)}",
        *options,
    ]


def syntax(image: ImageDocument) -> str:
    """pykickstart's name of the syntax that the image's installer reads; RHEL9 where nothing says a version."""
    found = re.search(r"\d+", image.version or "") or re.search(r"(?<!\d)\d{1,2}(?!\d)", image.name)
    number = int(found[0]) if found else 9
    if number >= FIRST_FEDORA:
        return f"F{min(max(number, KNOWN_FEDORA[0]), KNOWN_FEDORA[-1])}"
    return f"RHEL{min(max(number, KNOWN_RHEL[0]), KNOWN_RHEL[-1])}"


def _flaws(text: str, image: ImageDocument) -> list[Flaw]:
    return kickstart_flaws(text, syntax(image))


REDHAT = Family("redhat", "redhat.ks.j2", "ks.cfg", _arguments, _flaws)
