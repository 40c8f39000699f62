"""Installs: ordered, followed, withdrawn, ordered again."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.inventory.api.office import IdempotencyKey, Reader, TheOffice, Writer, once
from services.inventory.api.paging import Cursor, Limit, read_cursor, read_moment, write_cursor
from services.inventory.api.problems import not_found
from services.inventory.api.resources import READ, READ_ONE, WRITE, WRITE_ONE
from services.inventory.api.shapes import (
    InstallShape,
    InstallsShape,
    Page,
    TimelineShape,
    as_json,
    install_shape,
    timeline_shape,
)
from services.inventory.ledger import Work
from services.inventory.ordering import cancel, order_of, place, retry, retry_validated, validated
from services.inventory.repository import events as history
from services.inventory.repository import installs
from services.inventory.repository.database import Session
from services.inventory.repository.installs import Install
from services.inventory.resources.values import Name

router = APIRouter(tags=["installs"])
Id = Annotated[str, Path(max_length=64)]
Text = Annotated[str | None, Query(max_length=255)]


class OrderBody(BaseModel):
    """Either `machines` by name, or a `selector`: `rack=r7,profile=web`, `node*`, `all`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"machines": ["node01"]}, {"selector": "rack=r7,profile=web"}]}
    )
    machines: Annotated[list[Name], Field(min_length=1, max_length=10_000)] | None = None
    selector: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    profile: Name | None = None


@router.post(
    "/v1/installs", status_code=201, responses={201: {"model": InstallsShape}, **WRITE}, summary="Order installs"
)
async def order(
    request: Request, body: OrderBody, office: TheOffice, token: Writer, key: IdempotencyKey = None
) -> JSONResponse:
    """One install a machine, all or none. Refused where one is under way, or an answer file is wrong."""
    single = await once(request, office, token, key)
    if again := await single.remembered():
        return again
    wanted = order_of(body.machines, body.selector, body.profile)
    warnings = await validated(office.ledger, office.bus, wanted)

    def write(work: Work) -> tuple[int, dict[str, Any]]:
        items = [install_shape(install) for install in place(work, wanted, token.name)]
        return 201, InstallsShape(items=items, warnings=warnings).model_dump(mode="json")

    return await single.do(write)


@router.get("/v1/installs", responses={200: {"model": Page}, **READ}, summary="List installs")
async def list_installs(
    office: TheOffice,
    _token: Reader,
    machine: Text = None,
    state: Annotated[str | None, Query(max_length=32, description="a state, or active")] = None,
    profile: Text = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JSONResponse:
    """The newest first."""
    place_ = read_cursor(cursor, str, str)
    before = (read_moment(place_[0], "cursor"), place_[1]) if place_ else None

    def look(session: Session) -> list[Install]:
        return installs.listed(session, limit + 1, machine=machine, state=state, profile=profile, before=before)

    found = await office.ledger.read(look)
    last = found[limit - 1] if len(found) > limit else None
    items = [install_shape(install).model_dump(mode="json") for install in found[:limit]]
    return JSONResponse({"items": items, "next": write_cursor(as_json(last.ordered_at), last.id) if last else None})


@router.get("/v1/installs/{id}", responses={200: {"model": InstallShape}, **READ_ONE}, summary="One install")
async def get_install(id: Id, office: TheOffice, _token: Reader) -> JSONResponse:
    """Where it stands, and when it reached what."""
    found = await office.ledger.read(lambda session: _existing(session, id))
    return JSONResponse(install_shape(found).model_dump(mode="json"))


@router.get(
    "/v1/installs/{id}/timeline",
    responses={200: {"model": TimelineShape}, **READ_ONE},
    summary="Everything that happened in an install",
)
async def get_timeline(id: Id, office: TheOffice, _token: Reader) -> JSONResponse:
    """Every event by its own time, each once, with the state after it."""

    def look(session: Session) -> TimelineShape:
        return timeline_shape(_existing(session, id), history.of_install(session, id))

    found = await office.ledger.read(look)
    return JSONResponse(found.model_dump(mode="json"))


@router.post(
    "/v1/installs/{id}:cancel",
    responses={200: {"model": InstallShape}, **WRITE_ONE},
    summary="Withdraw an install",
)
async def cancel_install(id: Id, office: TheOffice, token: Writer) -> JSONResponse:
    """The machine boots its disk from now on. To withdraw it twice is no fault."""

    def write(work: Work) -> Install:
        return _found(cancel(work, id, token.name), id)

    found = await office.ledger.transact(write)
    return JSONResponse(install_shape(found).model_dump(mode="json"))


@router.post(
    "/v1/installs/{id}:retry",
    status_code=201,
    responses={201: {"model": InstallShape}, **WRITE_ONE},
    summary="Order an install again",
)
async def retry_install(
    id: Id, request: Request, office: TheOffice, token: Writer, key: IdempotencyKey = None
) -> JSONResponse:
    """A new install of the same machine with the same profile; one that is under way is withdrawn."""
    single = await once(request, office, token, key)
    if again := await single.remembered():
        return again
    await retry_validated(office.ledger, office.bus, id)

    def write(work: Work) -> tuple[int, dict[str, Any]]:
        return 201, install_shape(_found(retry(work, id, token.name), id)).model_dump(mode="json")

    return await single.do(write)


def _existing(session: Session, id: str) -> Install:
    return _found(installs.by_id(session, [id]).get(id), id)


def _found(install: Install | None, id: str) -> Install:
    if install is None:
        raise not_found("installs", id)
    return install
