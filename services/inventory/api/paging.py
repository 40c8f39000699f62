"""Lists in parts: a cursor says where the next part begins, and means nothing to anybody else."""

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query

from services.inventory.api.problems import of_faults
from services.inventory.resources.faults import Fault, FleetError
from services.inventory.resources.values import read_duration

LARGEST = 2**63 - 1  # of a number in the database
YEARS = range(1970, 2200)
Limit = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=1024, description="`next` of the part before")]


def write_cursor(*place: object) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(json.dumps(place, default=str).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *types: type) -> list[Any] | None:
    """The place of a cursor, whose parts have these types. Raises Problem."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    parts: list[Any] = place if isinstance(place, list) else []
    if [type(part) for part in parts] != list(types) or any(type(part) is int and part > LARGEST for part in parts):
        raise of_faults(422, [Fault("cursor", "this is no cursor of this list", "give back `next` as it was")])
    return parts


def read_moment(text: str, name: str) -> datetime:
    """A time, or how long ago: 2026-03-01T12:00:00Z, 10m. Raises FleetError."""
    try:
        # A plus sign that was not escaped reaches us as a space.
        read = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        moment = _ago(text)
    else:
        moment = read if read.tzinfo else read.replace(tzinfo=UTC)
    if moment is None or moment.year not in YEARS:
        remedy = "write it like 2026-03-01T12:00:00Z, or 10m for ten minutes ago"
        raise FleetError([Fault(name, f"{text!r} is no time", remedy)])
    return moment


def _ago(text: str) -> datetime | None:
    try:
        return datetime.now(UTC) - timedelta(seconds=read_duration(text))
    except ValueError:
        return None
