"""What an installer says in a callback: JSON, a form, or plain text, with `phase` and `percent` in the query too."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

MAX_BODY = 64 * 1024
MAX_TEXT = 8000  # characters; of a log its end is kept
MAX_PHASE = 64
FIELDS = ("phase", "percent", "message", "reason")


class ReportError(ValueError):
    """The callback's body cannot be understood; the message names the field."""


@dataclass(frozen=True)
class Report:
    """A callback's contents."""

    phase: str = ""
    percent: float | None = None
    message: str = ""


def parse_report(body: bytes, content_type: str, query: Mapping[str, str]) -> Report:
    """Read a callback. Text that is neither JSON nor a form is the message. Raises ReportError."""
    values: dict[str, Any] = {name: query[name] for name in FIELDS if name in query}
    text = body.decode("utf-8", "replace")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" and text.strip():
        values |= _from_json(text)
    elif form := _from_form(text) if kind == "application/x-www-form-urlencoded" else {}:
        values |= form
    elif text:
        values["message"] = text
    return Report(
        phase=_line(values.get("phase", ""))[:MAX_PHASE],
        percent=_percent(values.get("percent")),
        message=_text(values.get("message") or values.get("reason") or ""),
    )


def _from_json(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ReportError("the body is not JSON, which its Content-Type says it is") from None
    if not isinstance(values, dict):
        raise ReportError("the body has to be a JSON object with phase, percent, message or reason")
    return {name: values[name] for name in FIELDS if values.get(name) is not None}


def _from_form(text: str) -> dict[str, Any]:
    """Clients without a better idea call every body a form: it is one only if it begins with a field of ours."""
    if text.partition("=")[0] not in FIELDS or "=" not in text:
        return {}
    return {name: value for name, value in parse_qsl(text, max_num_fields=20) if name in FIELDS}


def _percent(value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise ReportError(f"percent: {str(value)[:40]!r} is not a number from 0 to 100")
    return number


def _line(value: object) -> str:
    return " ".join(_text(value).split())


def _text(value: object) -> str:
    """Printable text; line breaks and tabs stay, other control characters and what cannot be encoded do not."""
    kept = "".join(
        char for char in str(value) if char in "\n\t" or (char.isprintable() and char.isascii()) or char > "\xa0"
    )
    return kept.encode("utf-8", "ignore").decode()[-MAX_TEXT:].strip()
