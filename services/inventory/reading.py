"""Documents become events whose every field is what it should be, or are refused with the reason."""

from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from libs.envelope import CATALOGUE, Event, EventError, decode
from libs.mac import MacError, parse_mac

MAX_KEY = 255
YEARS = range(2000, 2200)
KEYS = ("id", "mac", "machine", "install_id", "ip")


def event_of(document: bytes) -> Event:
    """The event of a CloudEvents document, with the types that the catalogue gives. Raises EventError."""
    event = decode(document)
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    try:
        typed: Event = _adapter(event.TYPE).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise EventError(f"{event.TYPE}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return typed


def check_event(event: Event) -> None:
    """Whether an event from outside can be a row of ours. Raises EventError."""
    for name in KEYS:
        _check_key(name, getattr(event, name))
    if event.mac is not None:
        _check_mac(event.mac)
    if event.time.tzinfo is None or event.time.year not in YEARS:
        raise EventError(f"the time {event.time} has no zone or is out of range")


def _check_key(name: str, value: str | None) -> None:
    # They become keys of the database, which takes no NUL and no half of a surrogate pair.
    if value is not None and (len(value) > MAX_KEY or not value.isascii() or not value.isprintable()):
        raise EventError(f"`{name}` is not up to {MAX_KEY} printable characters")


def _check_mac(mac: str) -> None:
    try:
        spelled = parse_mac(mac)
    except MacError as error:
        raise EventError(str(error)) from None
    if spelled != mac:
        raise EventError(f"{mac!r} is not spelled {spelled}")


@cache
def _adapter(event_type: str) -> TypeAdapter[Any]:
    return TypeAdapter(CATALOGUE[event_type])
