"""The kinds of value that a declaration is made of: each reads every usual spelling and writes one."""

import json
import re
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from libs.desired import AddressRange
from libs.mac import MacError, parse_mac
from services.inventory.lifecycle import MILESTONES, State
from services.inventory.resources.faults import nearest, wrong

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
MAX_SECONDS = 10 * 365 * 86400
NAME_PATTERN = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
MAX_VARIABLES = 64 * 1024  # octets of JSON


def read_name(value: object) -> str:
    """A name is a lower-case host name, so that it is legal as a key on the bus and in a URL."""
    text = value if isinstance(value, str) else ""
    if not re.fullmatch(NAME_PATTERN, text):
        remedy = "use 1 to 63 lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
        raise wrong(f"{value!r} is not a name", remedy)
    return text


def read_mac(value: object) -> str:
    """Any usual spelling; a number is a bare spelling whose digits YAML took for one."""
    text = f"{value:012d}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    try:
        return parse_mac(text)
    except MacError as error:
        raise wrong(str(error)) from None


def read_duration(value: object) -> int:
    """Seconds, from `90`, `90s`, `40m`, `1h30m` or `2d`."""
    text = str(value).strip().lower()
    parts = re.fullmatch(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", text)
    amounts = [int(part or 0) for part in parts.groups()] if parts and text else []
    seconds = sum(amount * unit for amount, unit in zip(amounts, UNITS.values(), strict=False))
    if isinstance(value, bool) or not 0 < seconds <= MAX_SECONDS:
        raise wrong(f"{value!r} is not a duration", "write it like 90s, 40m, 1h or 1h30m")
    return seconds


def write_duration(seconds: int) -> str:
    """The shortest spelling: 3600 is 1h, 5400 is 1h30m."""
    text = ""
    for unit, size in UNITS.items():
        amount, seconds = divmod(seconds, size)
        text += f"{amount}{unit}" if amount else ""
    return text


def read_pool(value: object) -> list[AddressRange]:
    """`a-b`, a list of such ranges, or single addresses."""
    ranges = value if isinstance(value, list) else [value]
    return [_read_range(item) for item in ranges if item is not None]


def _read_range(value: object) -> AddressRange:
    if isinstance(value, AddressRange):
        return value
    first, _, last = str(value).partition("-")
    try:
        found = AddressRange(first=IPv4Address(first.strip()), last=IPv4Address((last or first).strip()))
    except AddressValueError:
        raise wrong(f"{value!r} is not a range of addresses", "write it like 10.77.0.100-10.77.0.199") from None
    if found.first > found.last:
        raise wrong(f"the range {value} ends before it begins", f"write {found.last}-{found.first}")
    return found


def write_pool(pool: list[AddressRange]) -> str | list[str] | None:
    """One range as text, several as a list."""
    texts = [f"{part.first}-{part.last}" for part in pool]
    return texts if len(texts) > 1 else next(iter(texts), None)


def read_path(value: str) -> str:
    """A file below the image's folder."""
    path = PurePosixPath(value)
    if (
        not value.isprintable()
        or not value
        or path.is_absolute()
        or ".." in path.parts
        or "\0" in value
        or "\\" in value
    ):
        raise wrong(f"{value!r} is not a path below the image's folder", "write it like images/pxeboot/vmlinuz")
    return str(path)


def read_template(value: str) -> str:
    """The name of a template: a built-in one's, or a file of the site's folder."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}", value) or ".." in value.split("/"):
        raise wrong(f"{value!r} is not a template's name", "write it like rocky.ks.j2")
    return value


def _read_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _read_printable(value: str) -> str:
    if not value.isprintable():
        raise wrong("this holds a character that cannot be printed", "leave it out")
    return value


def _read_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _read_options(value: object) -> object:
    """`[console=ttyS0,115200]` reaches us as two items: YAML ends one at the comma. No option begins with a number."""
    options: list[object] = []
    for item in value if isinstance(value, list) else [value]:
        if options and "=" in str(options[-1]) and re.fullmatch(r"[0-9]{2,}[a-z0-9]*", str(item)):
            options[-1] = f"{options[-1]},{item}"
        else:
            options.append(item)
    return options


def _read_limits(value: object) -> object:
    for key in value if isinstance(value, Mapping) else ():
        known = [state.value for state in MILESTONES if state is not State.BOOTED]
        if key not in known:
            raise wrong(f"{key!r} is no state with a deadline", nearest(str(key), known), key=str(key))
    return value


def _read_variables(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", key):
            raise wrong(f"{key!r} is not the name of a variable", "use letters, digits and '_'", key=key)
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError):
        raise wrong("the variables cannot be written as JSON", "use text, numbers, lists and mappings") from None
    if size > MAX_VARIABLES:
        raise wrong(f"the variables are {size} octets long", f"{MAX_VARIABLES} are allowed") from None
    return value


_KERNEL_OPTION = Annotated[
    str,
    BeforeValidator(_read_text),
    AfterValidator(_read_printable),
    Field(min_length=1, max_length=1024, pattern=r"^[^\s\x00]+$"),
]
Text = Annotated[str, BeforeValidator(_read_text), AfterValidator(_read_printable), Field(max_length=255)]
_SECONDS = Annotated[
    int,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["40m"]}),
]

Name = Annotated[str, BeforeValidator(read_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$"})]
Mac = Annotated[str, BeforeValidator(read_mac), WithJsonSchema({"type": "string", "examples": ["52:54:00:00:00:01"]})]
Duration = _SECONDS
Pool = Annotated[
    list[AddressRange],
    BeforeValidator(read_pool),
    PlainSerializer(write_pool),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
            "examples": ["10.77.0.100-10.77.0.199"],
        }
    ),
]
ImagePath = Annotated[str, AfterValidator(read_path)]
ImagePaths = Annotated[list[ImagePath], BeforeValidator(_read_list), Field(max_length=16)]
Template = Annotated[str, AfterValidator(read_template)]
Tags = dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,62}$")], Text]
Variables = Annotated[dict[str, Any], AfterValidator(_read_variables)]
KernelOptions = Annotated[list[_KERNEL_OPTION], BeforeValidator(_read_options), Field(max_length=128)]
Limits = Annotated[dict[str, _SECONDS], BeforeValidator(_read_limits)]
