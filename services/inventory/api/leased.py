"""Leases: who holds which address, as the dhcp service tells it; and an address taken back."""

from ipaddress import AddressValueError, IPv4Address
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from libs.bus import Bus
from libs.desired import LEASES, LeaseDocument
from services.inventory.api.office import Reader, TheOffice, Writer
from services.inventory.api.paging import Cursor, Limit, read_cursor, write_cursor
from services.inventory.api.problems import Problem, documented, of_faults
from services.inventory.api.shapes import Page
from services.inventory.resources.faults import Fault

router = APIRouter(prefix="/v1/leases", tags=["leases"])
RELEASE = "kickfleet.rpc.dhcp.release"
PATIENCE = 5.0  # seconds that dhcp may take to answer
Address = Annotated[str, Path(max_length=15, description="an IPv4 address")]
Text = Annotated[str | None, Query(max_length=255)]


class ReleasedShape(BaseModel):
    """An address taken back; `state`: released (it was held), or free (it was in quarantine)."""

    address: str
    mac: str | None
    subnet: str
    state: str


@router.get("", responses={200: {"model": Page}, **documented(401, 403, 422, 503)}, summary="List leases")
async def list_leases(
    office: TheOffice,
    _token: Reader,
    subnet: Text = None,
    machine: Text = None,
    q: Annotated[str | None, Query(max_length=255, description="in the address, the hardware address or name")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JSONResponse:
    """The addresses that are held now, in their order."""
    place = read_cursor(cursor, int)
    found = [
        lease
        for lease in await _held(office.bus)
        if (subnet in (None, lease.subnet))
        and (machine in (None, lease.machine))
        and (q is None or q.lower() in f"{lease.ip} {lease.mac} {lease.machine or ''}")
        and (place is None or int(lease.ip) > place[0])
    ]
    more = write_cursor(int(found[limit - 1].ip)) if len(found) > limit else None
    return JSONResponse({"items": [_shown(lease) for lease in found[:limit]], "next": more})


@router.get("/{address}", responses={200: {}, **documented(401, 403, 404, 422, 503)}, summary="One lease")
async def get_lease(address: Address, office: TheOffice, _token: Reader) -> JSONResponse:
    """Who holds an address."""
    wanted = _address(address)
    for lease in await _held(office.bus):
        if lease.ip == wanted:
            return JSONResponse(_shown(lease))
    raise _not_held(wanted)


@router.post(
    "/{address}:release",
    responses={200: {"model": ReleasedShape}, **documented(401, 403, 404, 422, 503)},
    summary="Take an address back",
)
async def release_lease(address: Address, office: TheOffice, _token: Writer) -> JSONResponse:
    """The address is free for others; its holder notices when it renews. A quarantine ends likewise."""
    wanted = _address(address)
    answer = await office.bus.request(RELEASE, {"address": str(wanted)}, PATIENCE)
    if "error" in answer:
        raise Problem(503, f"dhcp could not release {wanted}: {answer['error']}", headers={"retry-after": "2"})
    if not answer["released"]:
        raise _not_held(wanted)
    return JSONResponse(answer["released"][0])


async def _held(bus: Bus) -> list[LeaseDocument]:
    leases = []
    for document in (await bus.get_all(LEASES)).values():
        try:
            leases.append(LeaseDocument.model_validate(document))
        except ValidationError:
            continue  # of a newer service; whoever writes it shows it
    return sorted(leases, key=lambda lease: lease.ip)


def _shown(lease: LeaseDocument) -> dict[str, Any]:
    document = lease.model_dump(mode="json")
    return {"address": document.pop("ip"), **document}


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise of_faults(422, [Fault("address", f"{text!r} is no IPv4 address", "write it like 10.77.0.11")]) from None


def _not_held(address: IPv4Address) -> Problem:
    return Problem(404, f"nobody holds {address}; `kickfleet leases` lists the addresses that are held")
