"""Operators say that another dhcp server will never come back, by a request over the bus.

Subject `kickfleet.rpc.dhcp.forget`: {"server": its name or identity} -> {"forgotten": [identities]}, empty where no
other server is called so, or {"error": one sentence}.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from libs.bus import BusUnavailable, ConflictError
from services.dhcp.fleet import Fleet
from services.dhcp.sharing.link import Link
from services.dhcp.sharing.partition import CLOCK_SKEW

FORGET = "kickfleet.rpc.dhcp.forget"


def forgetting(link: Link, fleet: Fleet) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """The bus's handler. What was the forgotten server's own rests until leases that it gave unheard have run out."""

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        name = question.get("server") if isinstance(question, dict) else None
        if not isinstance(name, str) or not name:
            return {"error": "`server` must be the name or the identity of a dhcp server"}
        longest = max((subnet.lease_seconds for subnet in fleet.subnets), default=0)
        try:
            return {"forgotten": await link.forget(name, longest + 2 * CLOCK_SKEW)}
        except (BusUnavailable, ConflictError) as error:
            return {"error": f"{error}; ask again"}

    return answer
