"""What a webhook is to be told, how a format puts it, and what the receiver says to that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.envelope import Event


@dataclass(frozen=True)
class Notice:
    """One event for one webhook. `document` is the event as the API shows it; `took`: seconds since the order."""

    event: Event
    document: Mapping[str, Any]
    now: datetime
    secret: str | None = None
    machine: str | None = None
    profile: str | None = None
    took: float | None = None


@dataclass(frozen=True)
class Message:
    """A body and its headers, to be posted."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What the receiver said. `retry_after`: seconds that it asks to wait."""

    status: int
    body: bytes
    retry_after: float | None = None


def accept_2xx(reply: Reply) -> str | None:
    """None if the receiver took it, else why not."""
    return None if 200 <= reply.status < 300 else f"the receiver answered {reply.status}"


@dataclass(frozen=True)
class Format:
    """`build` makes a message from a notice; `refusal` reads the receiver's reply: None if it took the message."""

    build: Callable[[Notice], Message]
    refusal: Callable[[Reply], str | None] = accept_2xx
