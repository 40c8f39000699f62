"""Debian: debian-installer and its preseed."""

from collections.abc import Sequence

from libs.desired import ImageDocument
from libs.mac import dashed
from services.kickstart.families.family import Family, Target
from services.kickstart.validate import Flaw, preseed_flaws


def _arguments(target: Target, options: Sequence[str]) -> list[str]:
    """The fleet's own options stand behind `---`: the installer copies them to the installed system's boot loader."""
    return [
        "auto=true",
        "priority=critical",
        f"url={target.answers_url}",
        f"hostname={target.hostname}",
        *([f"domain={target.domain}"] if target.domain else []),
        "interface=auto",
        f"BOOTIF=01-{dashed(target.mac)}",
        *(["---", *options] if options else []),
    ]


def _flaws(text: str, _image: ImageDocument) -> list[Flaw]:
    return preseed_flaws(text)


DEBIAN = Family("debian", "debian.preseed.j2", "preseed.cfg", _arguments, _flaws)
