"""Is an answer file what its installer understands? Found out before a machine boots, with the line at fault."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from pykickstart.errors import KickstartError
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

# Debian policy: package names; debconf: question names and types.
_PRESEED = re.compile(
    r"(?P<owner>[a-z0-9][a-z0-9+.-]*)[ \t]+(?P<question>\S+)[ \t]+(?P<type>\S+)(?:[ \t](?P<value>.*))?"
)
_SEEN = re.compile(r"[a-z0-9][a-z0-9+.-]*[ \t]+\S+[ \t]+seen[ \t]+(true|false)")
_TYPES = {"string", "boolean", "select", "multiselect", "note", "text", "password", "title", "error"}


@dataclass(frozen=True)
class Flaw:
    """What is wrong in a rendered answer file, and in which of its lines."""

    message: str
    line: int | None = None


def kickstart_flaws(text: str, version: str) -> list[Flaw]:
    """Read a kickstart as pykickstart's `version` (RHEL9, F41 …) does; the first flaw ends the reading.

    Included files exist in the installer alone: they are not followed, and nothing is fetched or opened.
    """
    parser = KickstartParser(makeVersion(version))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.readKickstartFromString(_without_includes(text))
    except KickstartError as error:
        return [Flaw(*_explained(error))]
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # what its commands raise for odd values
        return [Flaw(f"pykickstart cannot read it: {str(error) or type(error).__name__}")]
    return []


def _without_includes(text: str) -> str:
    return "".join(
        f"# {line}" if line.lstrip().startswith(("%include", "%ksappend")) else line
        for line in text.splitlines(keepends=True)
    )


def _explained(error: KickstartError) -> tuple[str, int | None]:
    line = getattr(error, "lineno", None)
    message = " ".join(str(getattr(error, "message", "") or error).split())
    return re.sub(r"^The following problem occurred on line \d+ of the kickstart file: ", "", message), line


def preseed_flaws(text: str) -> list[Flaw]:
    """Read a preseed as debconf-set-selections does: `owner question type value`, with continued lines joined."""
    return [flaw for number, line in _logical_lines(text) if (flaw := _preseed_flaw(number, line))]


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    start, kept = 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not kept:
            start = number
        kept += line
        if kept.endswith("\\"):
            kept = kept[:-1]
            continue
        if kept.strip() and not kept.lstrip().startswith("#"):
            yield start, kept.strip()
        kept = ""
    if kept:
        yield start, kept + "\\"


def _preseed_flaw(number: int, line: str) -> Flaw | None:
    if line.endswith("\\"):
        return Flaw("the file ends within a continued line", number)
    if _SEEN.fullmatch(line):
        return None
    match = _PRESEED.fullmatch(line)
    if not match or "/" not in match["question"]:
        return Flaw(f"{line[:60]!r} is not `owner question type value`", number)
    if match["type"] not in _TYPES:
        return Flaw(f"{match['question']} has the unknown type {match['type']!r}", number)
    if match["type"] == "boolean" and match["value"] not in ("true", "false"):
        return Flaw(f"{match['question']} is boolean: true or false, not {match['value']!r}", number)
    return None
