"""Tokens: who may use this API."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.inventory.api.office import Admin, IdempotencyKey, TheOffice, once
from services.inventory.api.problems import not_found
from services.inventory.api.resources import READ, WRITE, WRITE_ONE
from services.inventory.api.shapes import Page, as_json
from services.inventory.ledger import Work
from services.inventory.repository import access
from services.inventory.repository.access import Token
from services.inventory.tokens import Scope, issue

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])


class TokenBody(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "cmdb", "scope": "write"}})
    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[\x20-\x7e]+$")]
    scope: Scope


class TokenShape(BaseModel):
    """A token; `token`, the secret itself, is shown this once."""

    id: str
    name: str
    scope: str
    created_at: str
    revoked_at: str | None = None
    token: str | None = None


@router.get("", responses={200: {"model": Page}, **READ}, summary="List tokens")
async def list_tokens(office: TheOffice, _token: Admin) -> JSONResponse:
    """All, without their secrets."""
    found = await office.ledger.read(access.tokens)
    return JSONResponse({"items": [_shown(token) for token in found], "next": None})


@router.post("", status_code=201, responses={201: {"model": TokenShape}, **WRITE}, summary="Make a token")
async def create_token(
    request: Request, body: TokenBody, office: TheOffice, token: Admin, key: IdempotencyKey = None
) -> JSONResponse:
    """The secret is in this answer and nowhere else. With an Idempotency-Key a repetition tells all but the secret."""
    single = await once(request, office, token, key)
    minted: dict[str, str] = {}

    def write(work: Work) -> tuple[int, dict[str, Any]]:
        made, minted["token"] = issue(work, body.name, body.scope)
        return 201, _shown(made)

    return await single.do(write, shown_once=minted)


@router.delete("/{id}", status_code=204, responses={**WRITE_ONE}, summary="Revoke a token")
async def revoke(id: Annotated[str, Path(max_length=64)], office: TheOffice, _token: Admin) -> Response:
    """It lets nobody in any more."""

    def write(work: Work) -> bool:
        return access.revoke_token(work.session, id, work.now)

    if not await office.ledger.transact(write):
        raise not_found("tokens", id)
    return Response(status_code=204)


def _shown(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "created_at": as_json(token.created_at),
        "revoked_at": as_json(token.revoked_at),
    }
