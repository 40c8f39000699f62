"""What a check says."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """`remedy` says what to do about it; it is empty where all is well."""

    level: Level
    check: str
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding("ok", check, message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """Something that may be meant so."""
    return Finding("warn", check, message, remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """Machines will not install until this is changed."""
    return Finding("fail", check, message, remedy)
