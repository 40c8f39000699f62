"""Events: the history in parts, and the same path as a live stream (server-sent events)."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from services.inventory.api.office import Office, Reader, TheOffice
from services.inventory.api.paging import LARGEST, Cursor, Limit, read_cursor, read_moment, write_cursor
from services.inventory.api.problems import documented, of_faults
from services.inventory.api.resources import READ
from services.inventory.api.shapes import Page
from services.inventory.hub import Subscription
from services.inventory.repository import events as history
from services.inventory.repository.database import Session
from services.inventory.repository.events import Entry, Filter
from services.inventory.resources.faults import Fault

router = APIRouter(tags=["events"])
STREAM = "text/event-stream"
HEARTBEAT = 15.0  # seconds of silence after which a comment says that the stream lives
REPLAYED = 500  # events that are read at a time
Text = Annotated[str | None, Query(max_length=255)]


@router.get(
    "/v1/events",
    responses={200: {"model": Page, "content": {STREAM: {}}}, **READ, **documented(503)},
    summary="What happened, and what happens",
)
async def get_events(
    request: Request,
    office: TheOffice,
    _token: Reader,
    since: Annotated[str | None, Query(max_length=64, description="a time, or 10m for ten minutes ago")] = None,
    until: Annotated[str | None, Query(max_length=64)] = None,
    machine: Text = None,
    mac: Text = None,
    type: Annotated[str | None, Query(max_length=255, description="install.done, or install.*, or several")] = None,
    install: Text = None,
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "asc",
    limit: Limit = 100,
    cursor: Cursor = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=32)] = None,
) -> Response:
    """In the order of the stream. With `Accept: text/event-stream`: live, from behind `Last-Event-ID` or `since`."""
    wanted = Filter(
        machine=machine,
        type=type,
        install=install,
        mac=mac,
        since=read_moment(since, "since") if since else None,
        until=read_moment(until, "until") if until else None,
    )
    if STREAM in request.headers.get("accept", ""):
        return _stream(office, wanted, _resume_from(last_event_id, wanted))
    return await _page(office, wanted, limit, cursor, newest=order == "desc")


async def _page(office: Office, wanted: Filter, limit: int, cursor: str | None, *, newest: bool) -> JSONResponse:
    place = read_cursor(cursor, int)

    def look(session: Session) -> list[Entry]:
        after = place[0] if place and not newest else 0
        before = place[0] if place and newest else None
        return history.history(session, wanted, limit + 1, after=after, before=before, newest=newest)

    found = await office.ledger.read(look)
    more = write_cursor(found[limit - 1].seq) if len(found) > limit else None
    return JSONResponse({"items": [entry.shown() for entry in found[:limit]], "next": more})


def _resume_from(last_event_id: str | None, wanted: Filter) -> int | None:
    """The place in the stream from behind which to begin; None: what happens from now on."""
    if not last_event_id:
        return 0 if wanted.since else None
    if not (last_event_id.isascii() and last_event_id.isdigit()) or int(last_event_id) > LARGEST:
        raise of_faults(422, [Fault("Last-Event-ID", "this is no id of this stream", "give back the last `id`")])
    return int(last_event_id)


def _stream(office: Office, wanted: Filter, after: int | None) -> StreamingResponse:
    office.hub.check_room()

    async def lines() -> AsyncIterator[bytes]:
        # Subscribed before the past is read: no event falls between what was and what comes.
        with office.hub.subscribed() as subscription:
            yield b": kickfleet events\nretry: 1000\n\n"
            async for entry in _entries(office, wanted, after, subscription):
                yield _line(entry) if entry else b": still here\n\n"

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(lines(), media_type=STREAM, headers=headers)


async def _entries(
    office: Office, wanted: Filter, after: int | None, subscription: Subscription
) -> AsyncIterator[Entry | None]:
    """What was since `after`, then what comes; None for a heartbeat."""
    replayed = after
    while replayed is not None:
        found, last = await office.ledger.read(_replay(wanted, replayed))
        for entry in found:
            yield entry
        if len(found) < REPLAYED:
            replayed = last
            break
        replayed = found[-1].seq
    async for live in subscription.entries(HEARTBEAT):
        if live is None or (wanted.passes(live) and (live.seq or 0) > (replayed or 0)):
            yield live


def _replay(wanted: Filter, after: int) -> Any:
    def look(session: Session) -> tuple[list[Entry], int]:
        last = history.last_sequence(session)
        return history.history(session, wanted, REPLAYED, after=after, before=last + 1), last

    return look


def _line(entry: Entry) -> bytes:
    return f"id: {entry.seq}\ndata: {json.dumps(entry.shown(), separators=(',', ':'))}\n\n".encode()
