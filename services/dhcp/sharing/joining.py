"""This service among the dhcp servers: what it is called, which addresses it answers by, whether it is ready."""

import socket
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address

from libs.net import interface_addresses
from libs.service import Context, ServiceError
from libs.wire.dhcp import NONE
from services.dhcp.allocation import Allocation
from services.dhcp.sharing.identity import IdentityError
from services.dhcp.sharing.party import Party


def party_of(ctx: Context, allocation: Allocation) -> Party:
    """The server as its data folder knows it. Raises ServiceError."""
    name = ctx.settings.dhcp.name or socket.gethostname()
    listen = _addresses(ctx.settings.dhcp.listen)

    def addresses() -> set[IPv4Address]:
        """What other servers may see named as the server of a lease of ours."""
        return {*allocation.own, *(listen or interface_addresses())}

    try:
        return Party(ctx.data / "sharing.json", name, allocation.sharing, addresses, ctx.log)
    except IdentityError as error:
        raise ServiceError(str(error)) from None


def tell_sharing(ctx: Context, party: Party) -> None:
    """/readyz tells what stands in the way, once something has."""
    detail = party.detail
    if detail or "sharing" in ctx.health.parts:
        ctx.ready("sharing", not detail, detail)


def _addresses(listen: str) -> set[IPv4Address]:
    with suppress(AddressValueError):
        return {IPv4Address(listen)} - {NONE}
    return set()
