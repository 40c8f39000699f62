"""An inventory to test against: a fleet, the service, its API, and machines' events as the other services tell them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import structlog

from libs.bus import Publisher
from libs.envelope import Event
from libs.events import (
    AnswersFetched,
    BootconfigFetched,
    InitrdFetched,
    InstallDone,
    InstallProgress,
    InstallStarted,
    KernelFetched,
    LeaseAcknowledged,
    LeaseOffered,
    PxelinuxFetched,
)
from libs.settings import Settings
from services.inventory.service import inventory
from tests.support.running import bus_of, service
from tests.support.waiting import until

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def mac_of(number: int) -> str:
    """The hardware address of a machine by number."""
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def machine(number: int, **more: Any) -> dict[str, Any]:
    """The declaration of a machine by number."""
    return {"name": f"node{number:02}", "macs": [mac_of(number)], "profile": "web", **more}


def fleet(machines: int = 3, **more: Any) -> dict[str, Any]:
    """A small fleet."""
    return {
        "subnets": [{"name": "rack1", "cidr": "10.77.0.0/16", "pool": "10.77.9.0-10.77.9.199", "gateway": "10.77.0.1"}],
        "images": [{"name": "rocky-9", "family": "redhat", "kernel": "vmlinuz", "initrd": ["initrd.img"]}],
        "profiles": [{"name": "web", "image": "rocky-9", "answers": "rocky.ks.j2", "limits": {"installing": "40m"}}],
        "machines": [machine(number) for number in range(1, machines + 1)],
        **more,
    }


def put_image(settings: Settings, name: str = "rocky-9") -> None:
    """The files of the fleet's image."""
    folder = settings.data / "images" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("vmlinuz", "initrd.img"):
        (folder / file).write_bytes(b"boot me")


@asynccontextmanager
async def api_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API of a running inventory, as its administrator."""
    address = (settings.data / "run" / "inventory").read_text().strip()
    token = (settings.data / "admin.token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=30, trust_env=False) as client:
        yield client


@asynccontextmanager
async def inventory_of(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A running inventory in this loop, and its API."""
    put_image(settings)
    async with service("inventory", inventory, settings), api_of(settings) as api:
        yield api


@asynccontextmanager
async def teller(settings: Settings, folder: Path) -> AsyncIterator[Publisher]:
    """Publishes events as another service would: through a spool of its own."""
    async with bus_of(settings, "teller") as bus:
        publisher = Publisher(bus, folder / "teller", site=settings.site, service="dhcp", log=structlog.get_logger())
        task = asyncio.create_task(publisher.run())
        try:
            yield publisher
            assert await publisher.flush(10)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            publisher.close()


def journey(number: int, start: datetime, *, install_id: str | None = None, step: float = 1.0) -> Iterator[Event]:
    """What the services tell of a machine that is installed, one event each `step` seconds.

    Only kickstart knows the install, by its token; the rest names the hardware or the address.
    """
    mac, ip = mac_of(number), f"10.77.{number >> 8}.{number & 255}"
    times = (start + timedelta(seconds=step * count) for count in range(1, 100))
    firmware: dict[str, Any] = {"mac": mac, "subnet": "rack1", "client": "pxe"}
    yield LeaseOffered(**firmware, ip=ip, time=next(times))
    yield LeaseAcknowledged(**firmware, ip=ip, boot_file="pxelinux.0", time=next(times))
    yield PxelinuxFetched(ip=ip, path="pxelinux.0", time=next(times))
    yield BootconfigFetched(mac=mac, ip=ip, path="pxelinux.cfg/01-x", time=next(times))
    yield KernelFetched(ip=ip, path="vmlinuz", bytes=9, time=next(times))
    yield InitrdFetched(ip=ip, path="initrd.img", bytes=9, time=next(times))
    known: dict[str, Any] = {"mac": mac, "machine": f"node{number:02}", "install_id": install_id, "ip": ip}
    yield LeaseAcknowledged(mac=mac, ip=ip, subnet="rack1", client="other", time=next(times))
    yield AnswersFetched(**known, path="answers", time=next(times))
    yield InstallStarted(**known, time=next(times))
    yield InstallProgress(**known, phase="packages", percent=50.0, time=next(times))
    yield InstallDone(**known, time=next(times))
    yield LeaseOffered(**firmware, ip=ip, time=next(times))
    yield LeaseAcknowledged(**firmware, ip=ip, time=next(times))
    yield BootconfigFetched(mac=mac, ip=ip, path="pxelinux.cfg/01-x", boots="disk", time=next(times))
    yield LeaseAcknowledged(mac=mac, ip=ip, subnet="rack1", client="other", time=next(times))


def at_order(install: dict[str, Any]) -> datetime:
    """When an install was ordered, as the API says it."""
    return datetime.fromisoformat(install["ordered_at"])


def later(event: Event, seconds: float) -> Event:
    """The same event, at another time."""
    return replace(event, time=event.time + timedelta(seconds=seconds))


async def state_is(api: httpx.AsyncClient, install_id: str, *states: str) -> dict[str, Any]:
    """Wait until an install is in one of these states."""

    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = (await api.get(f"/v1/installs/{install_id}")).raise_for_status().json()
        return found if found["state"] in states else None

    found: dict[str, Any] | None = await until(look, f"the install is {' or '.join(states)}")
    assert found
    return found
