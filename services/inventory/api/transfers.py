"""The transfers that run now, as the tftp service tells them when it is asked."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from libs.bus import BusUnavailable
from services.inventory.api.office import Reader, TheOffice
from services.inventory.api.problems import Problem, documented

router = APIRouter(prefix="/v1/transfers", tags=["transfers"])
SUBJECT = "kickfleet.rpc.tftp.transfers"
PATIENCE = 3.0  # seconds that tftp may take to answer


class TransferShape(BaseModel):
    """One transfer; `bytes` of `size` have been acknowledged, `round_trip` is in seconds."""

    machine: str | None
    mac: str | None
    ip: str
    path: str
    bytes: int
    size: int
    seconds: float
    retransmits: int
    blksize: int
    windowsize: int
    round_trip: float | None


class TransfersShape(BaseModel):
    """Those that run longest, and how many run in all."""

    transfers: list[TransferShape]
    total: int


@router.get("", responses={200: {"model": TransfersShape}, **documented(401, 403, 422, 503)}, summary="List transfers")
async def list_transfers(
    office: TheOffice, _token: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> JSONResponse:
    """TFTP transfers that are under way now, the longest first."""
    try:
        answer = await office.bus.request(SUBJECT, {"limit": limit}, PATIENCE)
        found = TransfersShape.model_validate(answer)
    except (BusUnavailable, ValidationError):
        raise Problem(
            503, "tftp does not say what it transfers; is it running?", headers={"retry-after": "2"}
        ) from None
    return JSONResponse(found.model_dump(mode="json"))
