"""`apply`: the fleet as one declaration."""

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from services.inventory.api.office import IdempotencyKey, TheOffice, Writer, once
from services.inventory.api.problems import Problem
from services.inventory.api.resources import WRITE
from services.inventory.api.shapes import AppliedShape
from services.inventory.applying import applied, enact_planned, prepare
from services.inventory.ledger import Work
from services.inventory.resources.faults import FleetError, faults_of
from services.inventory.resources.fleet import Fleet
from services.inventory.resources.yaml import read_yaml

router = APIRouter(tags=["apply"])
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
SCHEMA = {"schema": {"$ref": "#/components/schemas/Fleet"}}
BODY = {"requestBody": {"required": True, "content": {"application/json": SCHEMA, "application/yaml": SCHEMA}}}


@router.post(
    "/v1/apply", responses={200: {"model": AppliedShape}, **WRITE}, openapi_extra=BODY, summary="Declare the fleet"
)
async def apply(
    request: Request,
    office: TheOffice,
    token: Writer,
    dry_run: Annotated[bool, Query(description="say what would be done")] = False,
    prune: Annotated[bool, Query(description="remove what is left out, of each kind that is there")] = False,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """Idempotent, all or nothing: subnets, images, profiles, machines and webhooks, checked with their files."""
    single = await once(request, office, token, key)
    if again := await single.remembered():
        return again
    fleet = _read(await request.body(), request.headers.get("content-type", ""))
    found, warnings = await prepare(office.ledger, office.bus, office.images, fleet, prune=prune)
    if dry_run:
        return JSONResponse(asdict(applied(found, warnings, dry_run=True)))

    def write(work: Work) -> tuple[int, dict[str, Any]]:
        done = enact_planned(work, fleet, prune=prune)
        return 200, asdict(applied(done, warnings, dry_run=False))

    return await single.do(write)


def _read(body: bytes, content_type: str) -> Fleet:
    try:
        if content_type.partition(";")[0].strip().lower() in YAML_TYPES:
            return Fleet.model_validate(read_yaml(body))
        return Fleet.model_validate(json.loads(body))
    except ValidationError as error:
        raise FleetError(faults_of([dict(item) for item in error.errors()])) from None
    except (ValueError, RecursionError):
        raise Problem(400, "the body is not JSON; YAML is sent with Content-Type: application/yaml") from None
