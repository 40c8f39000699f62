"""Machines: listed with filters, declared one by one or ten thousand at once, diagnosed, rendered."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from libs.desired import MachineDocument
from services.inventory.api.declared import (
    Body_,
    IfMatch,
    IfNoneMatch,
    Name,
    check_conditions,
    declare,
    delete,
    etag_of,
    existing,
    get,
    put,
    read_resource,
    shown,
    shown_all,
)
from services.inventory.api.office import IdempotencyKey, Reader, TheOffice, Writer, once
from services.inventory.api.paging import Cursor, Limit, read_cursor, write_cursor
from services.inventory.api.problems import documented, not_found, of_faults
from services.inventory.api.resources import READ, READ_ONE, WRITE, WRITE_ONE, body_of
from services.inventory.api.shapes import (
    BatchShape,
    DiagnosisShape,
    Page,
    diagnosis_shape,
    never_ordered,
)
from services.inventory.cases import case_of
from services.inventory.declaring import enact, plan
from services.inventory.diagnosis import diagnose
from services.inventory.ledger import Work
from services.inventory.publishing import machine_documents
from services.inventory.rendering import Rendered, as_if_ordered, render
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository import installs
from services.inventory.repository.database import Session
from services.inventory.resources.faults import Fault, FleetError, faults_of
from services.inventory.resources.fleet import Fleet, Machine

KIND = "machines"
router = APIRouter(tags=[KIND])
Tag = Annotated[list[str] | None, Query(max_length=16, description="`key=value`; all must hold")]
Text = Annotated[str | None, Query(max_length=255)]


class Batch(BaseModel):
    """Up to 10,000 machines, of which all are declared or none."""

    machines: Annotated[list[Machine], Field(min_length=1, max_length=10_000)]


@router.get("/v1/machines", responses={200: {"model": Page}, **READ}, summary="List machines")
async def list_machines(
    office: TheOffice,
    _token: Reader,
    state: Annotated[str | None, Query(max_length=32, description="a state, or none: never installed")] = None,
    tag: Tag = None,
    profile: Text = None,
    external_id: Text = None,
    q: Annotated[str | None, Query(max_length=255, description="part of a name, MAC, address or external id")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JSONResponse:
    """By name, those that fit all filters."""
    place = read_cursor(cursor, str)
    tags = _read_tags(tag or [])

    def look(session: Session) -> dict[str, Any]:
        found = stored_fleet.listed(
            session,
            limit + 1,
            after=place[0] if place else "",
            state=state,
            tags=tags,
            profile=profile,
            external_id=external_id,
            text=q,
        )
        more = write_cursor(found[limit - 1].resource.name) if len(found) > limit else None
        return {"items": shown_all(session, list(found[:limit])), "next": more}

    return JSONResponse(await office.ledger.read(look))


def _read_tags(tags: list[str]) -> dict[str, str]:
    pairs = {}
    for text in tags:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise of_faults(422, [Fault("tag", f"{text!r} is no tag", "write it like rack=r7")])
        pairs[key] = value
    return pairs


@router.get("/v1/machines/{name}", responses={200: {"model": Machine}, **READ_ONE}, summary="One machine")
async def get_machine(name: Name, office: TheOffice, _token: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """Its declaration, and under `status` what became of it."""
    return await get(office, KIND, name, if_none_match)


@router.put(
    "/v1/machines/{name}",
    responses={200: {"model": Machine}, 201: {"model": Machine}, **WRITE},
    openapi_extra=body_of("Machine"),
    summary="Declare a machine",
)
async def put_machine(
    name: Name,
    body: Body_,
    office: TheOffice,
    _token: Writer,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Replaces the whole declaration."""
    return await put(office, KIND, name, body, if_match, if_none_match)


@router.patch(
    "/v1/machines/{name}",
    responses={200: {"model": Machine}, **WRITE_ONE},
    openapi_extra={"requestBody": {"content": {"application/merge-patch+json": {"schema": {"type": "object"}}}}},
    summary="Change a machine",
)
async def patch_machine(
    name: Name, request: Request, office: TheOffice, _token: Writer, if_match: IfMatch = None
) -> Response:
    """A merge patch (RFC 7396): what it names is replaced, null takes it away, the rest stays."""
    try:
        patch = await request.json()
    except (ValueError, RecursionError):
        patch = None
    if not isinstance(patch, dict):
        raise of_faults(422, [Fault("", "the body is no JSON object", 'write it like {"profile": "web"}')])
    if patch.get("name", name) != name:
        raise of_faults(422, [Fault("name", "a machine keeps its name", "declare a new one and remove this one")])

    def write(work: Work) -> tuple[dict[str, Any], str]:
        check_conditions(work.session, KIND, name, if_match, None)
        declare(work, office, KIND, read_resource(KIND, merge_patch(existing(work.session, KIND, name).spec, patch)))
        after = existing(work.session, KIND, name)
        return shown(work.session, after), etag_of(after.spec)

    answer, tag = await office.ledger.transact(write)
    return JSONResponse(answer, headers={"etag": tag})


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


@router.delete("/v1/machines/{name}", status_code=204, responses={**WRITE_ONE}, summary="Remove a machine")
async def delete_machine(name: Name, office: TheOffice, _token: Writer, if_match: IfMatch = None) -> Response:
    """Its installs and events stay in the history. Refused while an install is under way."""
    return await delete(office, KIND, name, if_match)


@router.post(
    "/v1/machines:batch",
    responses={200: {"model": BatchShape}, **WRITE},
    openapi_extra=body_of("Batch"),
    summary="Declare many machines",
)
async def batch(
    request: Request, body: Body_, office: TheOffice, token: Writer, key: IdempotencyKey = None
) -> JSONResponse:
    """All or none; what is wrong is said by index, as in `machines[3].macs[0]`."""
    single = await once(request, office, token, key)
    try:
        fleet = Fleet(machines=Batch.model_validate(body).machines)
    except ValidationError as error:
        raise FleetError(faults_of([dict(item) for item in error.errors()])) from None

    def write(work: Work) -> tuple[int, dict[str, Any]]:
        found = plan(work.session, fleet)
        enact(work, found)
        lists = {"created": found.created, "changed": found.changed, "unchanged": found.unchanged}
        return 200, {what: [name for _, name in keys] for what, keys in lists.items()}

    return await single.do(write)


@router.get(
    "/v1/machines/{name}/diagnosis",
    responses={200: {"model": DiagnosisShape}, **READ_ONE},
    summary="Why it does not go on",
)
async def get_diagnosis(name: Name, office: TheOffice, _token: Reader) -> JSONResponse:
    """The last milestone, what was expected next, the evidence, the likely cause, and the next step."""
    now = office.ledger.clock()

    def look(session: Session) -> DiagnosisShape:
        stored = stored_fleet.machines(session, [name]).get(name)
        if stored is None:
            raise not_found(KIND, name)
        install = installs.by_id(session, [stored.install_id]).get(stored.install_id) if stored.install_id else None
        if install is None:
            return never_ordered(stored)
        return diagnosis_shape(name, install, diagnose(case_of(session, install), install.limits, now))

    found = await office.ledger.read(look)
    return JSONResponse(found.model_dump(mode="json"))


@router.get(
    "/v1/machines/{name}/render",
    responses={200: {"model": Rendered}, **READ, **documented(404, 503)},
    summary="What it would be given",
)
async def get_render(name: Name, office: TheOffice, _token: Reader, validate: bool = False) -> JSONResponse:
    """Every file that the machine would get if it were installed now, without changing anything."""

    def look(session: Session) -> MachineDocument:
        document = machine_documents(session, [name])[name]
        if document is None:
            raise not_found(KIND, name)
        return MachineDocument.model_validate(document)

    document = as_if_ordered(await office.ledger.read(look))
    if document.profile is None:
        raise of_faults(409, [Fault("profile", f"machine {name!r} has no profile", "give it one")])
    found = await render(office.bus, [document], validate=validate, content=True)
    if not found:
        raise of_faults(503, [Fault("", "kickstart gave no answer for this machine", "try again")])
    return JSONResponse(found[0].model_dump(mode="json"))
