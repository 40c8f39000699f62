"""What every part of the API works with, who asks, and how a repeated request is answered once."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from libs.bus import Bus
from services.inventory.api.problems import Problem
from services.inventory.hub import Hub
from services.inventory.ledger import Ledger, Work
from services.inventory.repository import access
from services.inventory.repository.access import Answer, Token
from services.inventory.tokens import Scope, allows, hash_of

REMEMBERED = timedelta(hours=24)
_BEARER = HTTPBearer(auto_error=False, description="A token with scope read, write or admin")


@dataclass(frozen=True)
class Office:
    """The parts of the service that the API needs. `images`: the folder of the images' files."""

    ledger: Ledger
    bus: Bus
    hub: Hub
    images: Path


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


TheOffice = Annotated[Office, Depends(_office)]


async def _token(
    office: TheOffice, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Token:
    token = None
    if credentials:
        hashed = hash_of(credentials.credentials)
        token = await office.ledger.read(lambda session: access.token_of_hash(session, hashed))
    if token is None or token.revoked_at:
        raise Problem(
            401,
            "a bearer token is needed: `Authorization: Bearer …`; the first one is in admin.token in the data folder",
            headers={"www-authenticate": 'Bearer realm="kickfleet"'},
        )
    return token


def _needing(scope: Scope) -> Callable[..., Token]:
    def check(token: Annotated[Token, Depends(_token)]) -> Token:
        if not allows(token.scope, scope):
            raise Problem(403, f"this needs a token with scope {scope}; yours has {token.scope}")
        return token

    return check


Reader = Annotated[Token, Depends(_needing("read"))]
Writer = Annotated[Token, Depends(_needing("write"))]
Admin = Annotated[Token, Depends(_needing("admin"))]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same request gets the same answer, and nothing happens twice.",
    ),
]


@dataclass(frozen=True)
class Once:
    """A request that creates something, and is to do so only once."""

    office: Office
    token: Token
    key: str | None
    digest: str

    async def remembered(self) -> JSONResponse | None:
        """The answer that this request got before. Raises Problem where the key was another request's."""
        if self.key is None:
            return None
        known = await self.office.ledger.read(lambda session: access.answer(session, self.key or "", self.token.id))
        return self._again(known) if known else None

    async def do(
        self, job: Callable[[Work], tuple[int, dict[str, Any]]], shown_once: Mapping[str, Any] | None = None
    ) -> JSONResponse:
        """Do it and remember the answer (status and body), both in one transaction.

        What `job` puts into `shown_once` is added to the first answer, and never remembered.
        """
        status, body, again = await self.office.ledger.transact(lambda work: self._do(work, job))
        if again:
            return JSONResponse(body, status, headers={"idempotency-replayed": "true"})
        return JSONResponse({**body, **(shown_once or {})}, status)

    def _do(self, work: Work, job: Callable[[Work], tuple[int, dict[str, Any]]]) -> tuple[int, dict[str, Any], bool]:
        known = access.answer(work.session, self.key, self.token.id) if self.key else None
        if known:
            self._again(known)
            return known.status, known.body, True
        status, body = job(work)
        if self.key:
            answer = Answer(self.digest, status, body)
            access.remember_answer(work.session, self.key, self.token.id, answer, work.now, work.now - REMEMBERED)
        return status, body, False

    def _again(self, known: Answer) -> JSONResponse:
        if known.request != self.digest:
            raise Problem(422, "this Idempotency-Key was used for another request; choose a new one")
        return JSONResponse(known.body, known.status, headers={"idempotency-replayed": "true"})


async def once(request: Request, office: Office, token: Token, key: str | None) -> Once:
    """What makes a request the same: its method, its address, and its body."""
    parts = (request.method, request.url.path, request.url.query, (await request.body()).hex())
    return Once(office, token, key, hashlib.sha256(json.dumps(parts).encode()).hexdigest())
