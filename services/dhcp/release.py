"""Operators take addresses back, by a request over the bus.

Subject `kickfleet.rpc.dhcp.release`: {"address": "10.77.0.100"} -> {"released": [{"address", "mac", "subnet",
"state"}]}, empty where nobody holds the address, or {"error": one sentence}.
"""

from collections.abc import Awaitable, Callable
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from services.dhcp.leases import Lease
from services.dhcp.store import StoreError

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
SUBJECT = "kickfleet.rpc.dhcp.release"


def answering(
    release: Callable[[IPv4Address], list[Lease]],
) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """The bus's handler around the server's `release`."""

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        try:
            address = IPv4Address(str(question["address"]))
            return {"released": [_shown(lease) for lease in release(address)]}
        except (KeyError, TypeError, AddressValueError):
            return {"error": "`address` must be an IPv4 address, as in 10.77.0.100"}
        except StoreError as error:
            return {"error": f"{error}; the dhcp service's log says more"}

    return answer


def _shown(lease: Lease) -> dict[str, Any]:
    return {
        "address": str(lease.address),
        "mac": lease.hardware.mac,
        "subnet": lease.subnet,
        "state": lease.state.value,
    }
