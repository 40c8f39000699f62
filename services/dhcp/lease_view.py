"""The leases as others see them: one document an address in the `leases` bucket, written after the answer."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from libs.bus import Bus, BusUnavailable
from libs.desired import LEASES
from services.dhcp.fleet import Fleet
from services.dhcp.leases import Lease, Leases, State

RETRY_SECONDS = 1.0


class LeaseView:
    """Keeps the bucket the same as the lease table, later if the bus is away. Never in the way of an answer."""

    def __init__(
        self, bus: Bus, fleet: Fleet, leases: Leases, owns: Callable[[IPv4Address], bool] = lambda _: True
    ) -> None:
        """`owns`: whether an address is this server's own, where there are several servers."""
        self._bus = bus
        self._fleet = fleet
        self._leases = leases
        self._owns = owns
        self._writer = bus.writer(LEASES)

    def show(self, changes: Iterable[Lease]) -> None:
        """Leases have changed."""
        for lease in changes:
            self._writer.set(str(lease.address), self._document(lease))

    async def run(self) -> None:
        """Bring the bucket up to date with what happened before this start, then write for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reconcile())
            group.create_task(self._writer.run())

    async def _reconcile(self) -> None:
        there = None
        while there is None:
            await self._bus.wait_connected()
            try:
                there = await self._bus.get_all(LEASES)
            except BusUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
        wanted = {str(lease.address): self._document(lease) for lease in self._leases}
        for key in there.keys() | wanted.keys():
            if there.get(key) != wanted.get(key) and self._is_ours(key):
                self._writer.set(key, wanted.get(key))

    def _is_ours(self, key: str) -> bool:
        try:
            return self._owns(IPv4Address(key))
        except AddressValueError:
            return True  # nobody's: it is removed

    def _document(self, lease: Lease) -> dict[str, Any] | None:
        mac = lease.hardware.mac
        if mac is None or lease.state is not State.BOUND:
            return None
        machine = self._fleet.machine_of(mac)
        # A LeaseDocument as JSON has it; made by hand, as one is written with each acknowledgement.
        return {
            "ip": str(lease.address),
            "mac": mac,
            "subnet": lease.subnet,
            "machine": machine.name if machine else None,
            "expires": timestamp(lease.expires),
        }


def timestamp(seconds: float) -> str:
    """Unix time as documents have it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00") + "Z"
