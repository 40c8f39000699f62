"""Reading and writing one declaration: the same for every kind."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Body, Header, Path, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from services.inventory.api.office import Office
from services.inventory.api.problems import Problem, not_found, of_faults
from services.inventory.api.shapes import machine_shape
from services.inventory.applying import missing_files
from services.inventory.declaring import Plan, enact, plan
from services.inventory.ledger import Work
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository import installs
from services.inventory.repository.database import Session
from services.inventory.repository.fleet import Stored
from services.inventory.resources.faults import Fault, FleetError, faults_of
from services.inventory.resources.fleet import KINDS, Fleet, Resource

Name = Annotated[str, Path(max_length=63)]
Body_ = Annotated[dict[str, Any], Body()]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=1024)]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=1024)]


def etag_of(spec: Mapping[str, Any]) -> str:
    """The tag of a declaration: the same for the same content, whenever it was written."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def existing(session: Session, kind: str, name: str) -> Stored[Any]:
    """A declaration that is there. Raises Problem."""
    stored = stored_fleet.resource(session, kind, name)
    if stored is None:
        raise not_found(kind, name)
    return stored


def shown(session: Session, stored: Stored[Any]) -> dict[str, Any]:
    """A declaration as the API shows it."""
    return shown_all(session, [stored])[0]


def shown_all(session: Session, found: list[Stored[Any]]) -> list[dict[str, Any]]:
    """Declarations as the API shows them."""
    latest = installs.by_id(session, (stored.install_id for stored in found if stored.install_id))
    return [
        machine_shape(stored, latest.get(stored.install_id or ""))
        if isinstance(stored.resource, KINDS["machines"])
        else stored.resource.shown()
        for stored in found
    ]


async def get(office: Office, kind: str, name: str, if_none_match: str | None) -> Response:
    """One declaration, with its tag."""

    def look(session: Session) -> tuple[dict[str, Any], str]:
        stored = existing(session, kind, name)
        return shown(session, stored), etag_of(stored.spec)

    body, tag = await office.ledger.read(look)
    # A machine's status changes while its declaration, which the tag stands for, does not.
    if kind != "machines" and if_none_match and _lists(if_none_match, tag):
        return Response(status_code=304, headers={"etag": tag})
    return JSONResponse(body, headers={"etag": tag})


async def put(
    office: Office, kind: str, name: str, body: dict[str, Any], if_match: str | None, if_none_match: str | None
) -> Response:
    """Declare one thing: 201 if it is new, else 200."""
    if body.get("name", name) != name:
        raise of_faults(422, [Fault("name", f"the address says {name!r}", "leave the name out, or write the same")])
    resource = read_resource(kind, {**body, "name": name})

    def write(work: Work) -> tuple[dict[str, Any], str, bool]:
        check_conditions(work.session, kind, name, if_match, if_none_match)
        found = declare(work, office, kind, resource)
        stored = existing(work.session, kind, name)
        return shown(work.session, stored), etag_of(stored.spec), bool(found.created)

    answer, tag, created = await office.ledger.transact(write)
    return JSONResponse(answer, 201 if created else 200, headers={"etag": tag})


async def delete(office: Office, kind: str, name: str, if_match: str | None) -> Response:
    """Take one thing out of the fleet."""

    def write(work: Work) -> None:
        check_conditions(work.session, kind, name, if_match, None)
        existing(work.session, kind, name)
        try:
            enact(work, plan(work.session, Fleet(), removals=[(kind, name)]))
        except FleetError as error:
            raise of_faults(409, error.faults) from None

    await office.ledger.transact(write)
    return Response(status_code=204)


def read_resource(kind: str, body: Mapping[str, Any]) -> Resource:
    """Read one declaration. Raises FleetError."""
    try:
        return KINDS[kind].model_validate(body)
    except ValidationError as error:
        raise FleetError(faults_of([dict(item) for item in error.errors()])) from None


def declare(work: Work, office: Office, kind: str, resource: Resource) -> Plan:
    """Declare one thing inside a transaction. Raises FleetError, with paths inside that thing."""
    try:
        found = plan(work.session, Fleet.model_validate({kind: [resource]}))
        faults = missing_files(found, office.images)
        if faults:
            raise FleetError(faults)
    except FleetError as error:
        here = f"{kind}[0]"
        raise FleetError([_without(fault, here) for fault in error.faults]) from None
    enact(work, found)
    return found


def _without(fault: Fault, prefix: str) -> Fault:
    return Fault(fault.path.removeprefix(prefix).removeprefix("."), fault.message, fault.remedy)


def check_conditions(session: Session, kind: str, name: str, if_match: str | None, if_none_match: str | None) -> None:
    """If-Match and If-None-Match (RFC 9110, section 13.1). Raises Problem."""
    if if_match is None and if_none_match is None:
        return
    stored = stored_fleet.resource(session, kind, name)
    tag = etag_of(stored.spec) if stored else None
    if if_match is not None and (tag is None or not _lists(if_match, tag)):
        raise Problem(412, f"{name!r} is not as If-Match says; read it again", headers={"etag": tag} if tag else None)
    if if_none_match is not None and tag is not None and _lists(if_none_match, tag):
        raise Problem(412, f"{name!r} exists already", headers={"etag": tag})


def _lists(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in header.split(","))
