"""Subnets, images, profiles and webhooks: the same few operations on each; and the site, of which there is one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from services.inventory.api.declared import Body_, IfMatch, IfNoneMatch, Name, delete, get, put
from services.inventory.api.office import Reader, TheOffice, Writer
from services.inventory.api.paging import Cursor, Limit, read_cursor, write_cursor
from services.inventory.api.problems import documented, not_found
from services.inventory.api.shapes import Page, as_json
from services.inventory.declaring import enact, plan
from services.inventory.ledger import Work
from services.inventory.repository import deliveries
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository.database import Session
from services.inventory.resources.faults import FleetError, faults_of
from services.inventory.resources.fleet import KINDS, Fleet, Site

READ = documented(401, 403, 422)
READ_ONE = documented(401, 403, 404, 422)
WRITE = documented(401, 403, 409, 412, 422, 503)
WRITE_ONE = documented(401, 403, 404, 409, 412, 422, 503)


def body_of(schema: str) -> dict[str, Any]:
    """The request body's schema, for the OpenAPI document."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}}


def router_of(kind: str) -> APIRouter:
    """The operations on one kind of resource."""
    router = APIRouter(prefix=f"/v1/{kind}", tags=[kind])
    model = KINDS[kind]

    @router.get("", responses={200: {"model": Page}, **READ}, summary=f"List {kind}")
    async def list_all(
        office: TheOffice,
        _token: Reader,
        q: Annotated[str | None, Query(max_length=255, description="part of the name")] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> JSONResponse:
        place = read_cursor(cursor, str)
        stored = await office.ledger.read(lambda session: stored_fleet.resources(session, kind))
        names = [name for name in stored if (place is None or name > place[0]) and (q is None or q.lower() in name)]
        items = [stored[name].resource.shown() for name in names[:limit]]
        return JSONResponse({"items": items, "next": write_cursor(names[limit - 1]) if len(names) > limit else None})

    @router.get("/{name}", responses={200: {"model": model}, **READ_ONE}, summary=f"One of the {kind}")
    async def get_one(name: Name, office: TheOffice, _token: Reader, if_none_match: IfNoneMatch = None) -> Response:
        return await get(office, kind, name, if_none_match)

    @router.put(
        "/{name}",
        responses={200: {"model": model}, 201: {"model": model}, **WRITE},
        openapi_extra=body_of(model.__name__),
        summary=f"Declare one of the {kind}",
    )
    async def put_one(
        name: Name,
        body: Body_,
        office: TheOffice,
        _token: Writer,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        return await put(office, kind, name, body, if_match, if_none_match)

    @router.delete("/{name}", status_code=204, responses={**WRITE_ONE}, summary=f"Remove one of the {kind}")
    async def delete_one(name: Name, office: TheOffice, _token: Writer, if_match: IfMatch = None) -> Response:
        return await delete(office, kind, name, if_match)

    return router


site = APIRouter(prefix="/v1/site", tags=["site"])


@site.get("", responses={200: {"model": Site}, **READ}, summary="What holds for every machine")
async def get_site(office: TheOffice, _token: Reader) -> JSONResponse:
    """Kernel options and variables of all machines, where nothing nearer to a machine says otherwise."""
    found = await office.ledger.read(stored_fleet.site)
    return JSONResponse(found.model_dump(mode="json"))


@site.put("", responses={200: {"model": Site}, **WRITE}, openapi_extra=body_of("Site"), summary="Declare it")
async def put_site(body: Body_, office: TheOffice, _token: Writer) -> JSONResponse:
    """Replace what holds for every machine."""
    try:
        wanted = Site.model_validate(body)
    except ValidationError as error:
        raise FleetError(faults_of([dict(item) for item in error.errors()])) from None

    def write(work: Work) -> None:
        enact(work, plan(work.session, Fleet(site=wanted)))

    await office.ledger.transact(write)
    return JSONResponse(wanted.model_dump(mode="json"))


webhooks = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@webhooks.get("/{name}/deliveries", responses={200: {"model": Page}, **READ_ONE}, summary="What it was told")
async def get_deliveries(name: Name, office: TheOffice, _token: Reader, limit: Limit = 100) -> JSONResponse:
    """The latest deliveries, the newest first."""

    def look(session: Session) -> list[dict[str, Any]]:
        if stored_fleet.resource(session, "webhooks", name) is None:
            raise not_found("webhooks", name)
        return [
            {
                "event_id": delivery.event_id,
                "state": delivery.state,
                "attempts": delivery.attempts,
                "due_at": as_json(delivery.due_at),
                "ended_at": as_json(delivery.ended_at),
                "error": delivery.error,
            }
            for delivery in deliveries.of_webhook(session, name, limit)
        ]

    return JSONResponse({"items": await office.ledger.read(look), "next": None})
