"""Refusals as application/problem+json (RFC 9457), with the field at fault and the remedy."""

import http
import json
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from libs.bus import BusUnavailable
from services.inventory.hub import TooManyListeners
from services.inventory.ordering import Refused
from services.inventory.repository.database import Conflict, DatabaseUnavailable, Unstorable
from services.inventory.resources.faults import Fault, FleetError, faults_of

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 100


class ProblemError(BaseModel):
    """One thing that is wrong: `field` as in `machines[3].macs[0]`."""

    field: str
    message: str
    remedy: str = ""


class ProblemDocument(BaseModel):
    """What is wrong with a request."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = []


class Problem(Exception):
    """A refusal, from anywhere in the API."""

    def __init__(
        self, status: int, detail: str, *, faults: Sequence[Fault] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = headers

    def response(self) -> Response:
        """The answer."""
        errors = [ProblemError(field=f.path, message=f.message, remedy=f.remedy) for f in self.faults[:MOST_ERRORS]]
        title = http.HTTPStatus(self.status).phrase
        document = ProblemDocument(title=title, status=self.status, detail=self.detail, errors=errors)
        # In ASCII: what is quoted may hold halves of characters, which UTF-8 cannot write.
        content = json.dumps(document.model_dump())
        return Response(content, self.status, headers=self.headers, media_type=MEDIA_TYPE)


def not_found(kind: str, name: str) -> Problem:
    """There is no such thing."""
    return Problem(404, f"there is no {kind.removesuffix('s')} {name!r}")


def of_faults(status: int, faults: Sequence[Fault]) -> Problem:
    """A refusal for these reasons; the detail is the first, and how many more there are."""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Problem(status, f"{faults[0]}{more}", faults=faults)


def _invalid(error: RequestValidationError | ValidationError) -> Problem:
    found = [dict(item) for item in error.errors()]
    if any(item["type"] == "json_invalid" for item in found):
        return Problem(400, "the body is not JSON")
    for item in found:
        # The first part says where in the request it stands; `body` is what everybody means.
        place, *rest = item["loc"] or ("",)
        item["loc"] = rest if place == "body" else [place, *rest]
    return of_faults(422, faults_of(found))


def problem_of(error: Exception) -> Problem:
    """The refusal that an exception of ours means."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError | ValidationError):
        return _invalid(error)
    if isinstance(error, FleetError | Refused):
        return of_faults(422 if isinstance(error, FleetError) else 409, error.faults)
    if isinstance(error, DatabaseUnavailable | BusUnavailable | TooManyListeners):
        return Problem(503, str(error), headers={"retry-after": "2"})
    if isinstance(error, Unstorable):
        return Problem(422, str(error))
    if isinstance(error, UnicodeEncodeError):
        return Problem(422, "a text holds half of a character (a lone surrogate), which nobody can store or show")
    if isinstance(error, Conflict):
        return Problem(409, "this contradicts what was written at the same time; read again and retry")
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))
    return Problem(500, "this is a fault of kickfleet, not of the request; the service's log says more")


KNOWN: tuple[type[Exception], ...] = (
    Problem,
    RequestValidationError,
    ValidationError,
    FleetError,
    Refused,
    DatabaseUnavailable,
    BusUnavailable,
    TooManyListeners,
    Conflict,
    Unstorable,
    UnicodeEncodeError,
    HTTPException,
    Exception,
)


def install_handlers(app: FastAPI) -> None:
    """Let the application answer every exception with a problem."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in KNOWN:
        app.add_exception_handler(kind, answer)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an operation, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": http.HTTPStatus(status).phrase, "content": content} for status in statuses}
