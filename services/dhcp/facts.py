"""The fields that every event of this service carries, taken from an exchange or from a lease."""

from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address
from typing import TypedDict

from libs.desired import MachineDocument
from services.dhcp.exchange import Exchange


class About(TypedDict):
    """Which machine, which install, which address, when."""

    mac: str | None
    machine: str | None
    install_id: str | None
    ip: str | None
    time: datetime


class LeaseFacts(About):
    """What lease events say beside."""

    subnet: str
    client: str
    arch: str | None
    boot_file: str | None
    relay: str | None


def about(mac: str | None, machine: MachineDocument | None, address: IPv4Address | None, now: float) -> About:
    """The common fields. `now` is in seconds of Unix time."""
    return About(
        mac=mac,
        machine=machine.name if machine else None,
        install_id=machine.install.id if machine and machine.install else None,
        ip=str(address) if address else None,
        time=_moment(now),
    )


@lru_cache(maxsize=16)
def _moment(now: float) -> datetime:
    """All events of a batch have one time."""
    return datetime.fromtimestamp(now, UTC)


def about_exchange(exchange: Exchange, address: IPv4Address | None = None) -> About:
    """The common fields of an exchange."""
    return about(exchange.mac, exchange.machine, address, exchange.now)


def lease_facts(exchange: Exchange, address: IPv4Address | None) -> LeaseFacts:
    """The fields of a lease event."""
    architecture = exchange.client.architecture
    return LeaseFacts(
        **about_exchange(exchange, address),
        subnet=exchange.subnet.name,
        client=exchange.client.kind,
        arch=architecture.name if architecture else None,
        boot_file=exchange.boot.file if exchange.boot else None,
        relay=exchange.relay,
    )
