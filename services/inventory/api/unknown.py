"""Machines that nobody registered: who asked for an address, and one of them taken into the fleet."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from libs.mac import MacError, parse_mac
from services.inventory.api.declared import Body_, declare, etag_of, existing, read_resource, shown
from services.inventory.api.office import Reader, TheOffice, Writer
from services.inventory.api.paging import Cursor, Limit, read_cursor, read_moment, write_cursor
from services.inventory.api.problems import Problem, of_faults
from services.inventory.api.resources import READ, WRITE_ONE
from services.inventory.api.shapes import Page
from services.inventory.ledger import Work
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository.strangers import Stranger, strangers
from services.inventory.resources.faults import Fault
from services.inventory.resources.fleet import Machine

KIND = "machines"
router = APIRouter(prefix="/v1/unknown", tags=["unknown machines"])


class StrangerShape(BaseModel):
    """A hardware address that no machine has, and what it said last when it asked for an address."""

    mac: str
    subnet: str
    relay: str | None
    client: str
    arch: str | None
    vendor_class: str | None
    uuid: str | None
    first_seen: datetime
    last_seen: datetime


class AdoptBody(BaseModel):
    """A machine's declaration without its hardware address."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"name": "node17", "profile": "web"}]})


@router.get("", responses={200: {"model": Page}, **READ}, summary="List unknown machines")
async def list_unknown(
    office: TheOffice,
    _token: Reader,
    subnet: Annotated[str | None, Query(max_length=255)] = None,
    since: Annotated[str | None, Query(max_length=64, description="a time, or 1h for one hour ago")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JSONResponse:
    """Those that asked for an address and are not registered now, the latest first. dhcp tells of each every ten
    minutes while it asks."""
    place = read_cursor(cursor, str, str)
    before = (read_moment(place[0], "cursor"), place[1]) if place else None
    moment = read_moment(since, "since") if since else None
    found = await office.ledger.read(
        lambda session: strangers(session, limit + 1, subnet=subnet, since=moment, before=before)
    )
    last = found[limit - 1] if len(found) > limit else None
    more = write_cursor(last.last_seen.isoformat(), last.mac) if last else None
    return JSONResponse({"items": [_shape(one) for one in found[:limit]], "next": more})


@router.post(
    "/{mac}:adopt",
    status_code=201,
    responses={201: {"model": Machine}, **WRITE_ONE},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": AdoptBody.model_json_schema()}}}
    },
    summary="Take an unknown machine into the fleet",
)
async def adopt(
    mac: Annotated[str, Path(max_length=32, description="as any usual spelling")],
    body: Body_,
    office: TheOffice,
    _token: Writer,
) -> JSONResponse:
    """Declares a machine with this hardware address. Its events so far become part of the machine's history."""
    known = _mac(mac)
    machine = read_resource(KIND, {**body, "macs": [known]})

    def write(work: Work) -> tuple[dict[str, Any], str]:
        if not strangers(work.session, 1, mac=known):
            raise Problem(404, f"no unknown machine {known} has asked for an address; `kickfleet unknown` lists them")
        if stored_fleet.resource(work.session, KIND, machine.name):
            fault = Fault("name", f"there is a machine {machine.name!r} already", "choose another name")
            raise of_faults(409, [fault])
        declare(work, office, KIND, machine)
        stored = existing(work.session, KIND, machine.name)
        return shown(work.session, stored), etag_of(stored.spec)

    answer, tag = await office.ledger.transact(write)
    return JSONResponse(answer, 201, headers={"etag": tag})


def _mac(text: str) -> str:
    try:
        return parse_mac(text)
    except MacError as error:
        raise of_faults(422, [Fault("mac", str(error), "`kickfleet unknown` lists them")]) from None


def _shape(stranger: Stranger) -> dict[str, Any]:
    said = stranger.last
    shape = StrangerShape(
        mac=stranger.mac,
        subnet=said.subnet,
        relay=said.relay,
        client=said.client,
        arch=said.arch,
        vendor_class=said.vendor_class,
        uuid=said.uuid,
        first_seen=stranger.first_seen,
        last_seen=stranger.last_seen,
    )
    return shape.model_dump(mode="json")
