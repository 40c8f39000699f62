"""What all events have in common, and how they travel: CloudEvents 1.0 structured JSON, one line each.

`data` holds the common fields `mac`, `machine`, `install_id`, `ip` and the fields of the event's own type.
"""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _json
from typing import Any, ClassVar

from libs.mac import dashed

SCHEMA = 1


class EventError(ValueError):
    """The document is not one of kickfleet's events."""


def _now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh event id, unique across all services."""
    return os.urandom(16).hex()


def derived_id(*parts: str) -> str:
    """The same id for the same cause, so that a repetition is recognised wherever it is made."""
    return uuid.uuid5(uuid.NAMESPACE_OID, "/".join(parts)).hex


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event says: which machine (its hardware address, name), which install, which address, when."""

    TYPE: ClassVar[str] = ""
    mac: str | None = None
    machine: str | None = None
    install_id: str | None = None
    ip: str | None = None
    id: str = field(default_factory=new_id)
    time: datetime = field(default_factory=_now)

    def __init_subclass__(cls, *, type: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if type:
            cls.TYPE = type
            CATALOGUE[type] = cls

    def data(self) -> dict[str, Any]:
        """The JSON object under CloudEvents' `data`."""
        # All fields are stored in the order of their declaration.
        data = self.__dict__.copy()
        del data["id"], data["time"]
        return data


CATALOGUE: dict[str, type[Event]] = {}


def subject(event_type: str, mac: str | None, site: str) -> str:
    """The bus subject of an event: kickfleet.events.<site>.<mac with dashes, or _>.<noun>.<verb>."""
    return f"kickfleet.events.{site}.{dashed(mac) if mac else '_'}.{event_type}"


def encode(event: Event, *, site: str, service: str) -> bytes:
    """The event as CloudEvents 1.0 structured JSON, on one line."""
    return (
        f'{{"specversion":"1.0","id":{_json(event.id)},{_origin(site, service)},"type":"{event.TYPE}"'
        f',"subject":{_json(event.machine or event.mac or "")},"time":"{_timestamp(event.time)}"'
        f',"datacontenttype":"application/json","schema":{SCHEMA},"data":{_ENCODER.encode(event.data())}}}'
    ).encode()


@lru_cache(maxsize=16)
def _origin(site: str, service: str) -> str:
    return f'"source":{_json(f"kickfleet/{site}/{service}")}'


@lru_cache(maxsize=16)
def _timestamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def decode(raw: bytes) -> Event:
    """Read an encoded event. Unknown fields are left aside, so that a newer sender can add some.

    Raises EventError for anything that is not an event of the catalogue.
    """
    try:
        document = json.loads(raw)
        kind = CATALOGUE[document["type"]]
        known = {f.name for f in fields(kind)} - {"id", "time"}
        values = {name: value for name, value in document["data"].items() if name in known}
        return kind(id=str(document["id"]), time=datetime.fromisoformat(document["time"]), **values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EventError(f"not an event of the catalogue: {error!r}") from error


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)
