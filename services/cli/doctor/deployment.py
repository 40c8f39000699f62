"""What runs: the services, the bus between them, and what the fleet asks of this host."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import httpx

from libs.net import address_towards
from libs.settings import HostPort, Settings
from services.cli.doctor.finding import Finding, fail, ok, warn
from services.cli.supervisor.programs import SERVICES
from services.cli.supervisor.readiness import Readiness, ask
from services.cli.supervisor.runfiles import announced, status_page

INTERFACES = Path("/sys/class/net")


def _page(settings: Settings, service: str) -> HostPort:
    configured = {
        "dhcp": settings.dhcp.status,
        "tftp": settings.tftp.status,
        "kickstart": settings.kickstart.listen,
        "inventory": settings.inventory.listen,
    }
    return status_page(settings, service) or configured[service]


async def readiness(settings: Settings) -> dict[str, Readiness | None]:
    """What each service on this host says of itself; None: it does not answer."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return {name: await ask(name, _page(settings, name), client) for name in SERVICES}


def services(answers: Mapping[str, Readiness | None]) -> Iterator[Finding]:
    """Each service that runs should be ready, and on the bus."""
    for name, answer in answers.items():
        if answer is None:
            yield warn("services", f"{name} does not run here", "start it with `kickfleet up`")
        elif not answer.ready:
            missing = "; ".join(answer.missing)
            yield fail("services", f"{name} is not ready: {missing}", "its log says more")
        elif answer.bus != "connected":
            yield fail("services", f"{name} serves, but without the bus", "start NATS; look at `bus.url`")
        else:
            yield ok("services", f"{name} is ready")


def bus(settings: Settings) -> Iterator[Finding]:
    """The bus is where it should be and has JetStream."""
    if settings.bus.url:
        addresses = [_host_port(url) for url in settings.bus.url.split(",")]
    else:
        embedded = announced(settings, "nats")
        addresses = [embedded] if embedded else []
    for address in addresses:
        yield _server(address)


def _server(address: HostPort) -> Finding:
    """A NATS server greets with INFO and a JSON object before anything is asked."""
    try:
        with socket.create_connection((address.host, address.port), timeout=3) as connection:
            greeting = connection.makefile("rb").readline(65536)
    except OSError as error:
        return fail("bus", f"nothing answers at {address}: {error.strerror or error}", "start it; look at `bus.url`")
    if not greeting.startswith(b"INFO "):
        return fail("bus", f"what answers at {address} is no NATS server", "look at `bus.url`")
    if b'"jetstream":true' not in greeting:
        return fail("bus", f"the NATS server at {address} has no JetStream", "enable `jetstream` in its configuration")
    return ok("bus", f"NATS with JetStream at {address}")


def _host_port(url: str) -> HostPort:
    parts = httpx.URL(url.strip())
    return HostPort(parts.host, parts.port or 4222)


def subnets(declared: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """A subnet's interface must be there, and have an address in it."""
    if not declared:
        yield warn("subnets", "none is declared: no machine is answered", "declare one, as in deploy/examples")
    for subnet in declared:
        interface, network = subnet.get("interface"), IPv4Network(subnet["cidr"])
        if interface and not (INTERFACES / interface).exists():
            known = ", ".join(sorted(path.name for path in INTERFACES.iterdir()))
            yield fail("subnets", f"{subnet['name']}: there is no interface {interface}", f"there are {known}")
        elif interface and _own_address(network) is None:
            remedy = f"ip address add …/{network.prefixlen} dev {interface}"
            yield fail("subnets", f"{subnet['name']}: this host has no address in {network}", remedy)
        else:
            where = f"on {interface}" if interface else "through relay agents"
            yield ok("subnets", f"{subnet['name']}: {network} {where}")


def _own_address(network: IPv4Network) -> IPv4Address | None:
    source = address_towards(network.network_address + 1)
    return source if source and source in network else None


def rivals(events: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Another DHCP server that a machine of ours believed in the last day."""
    servers = sorted({(event["data"]["server"], event["data"]["subnet"]) for event in events})
    for server, subnet in servers:
        remedy = "stop it, or declare the subnet with `mode: proxy`"
        yield warn("rivals", f"another DHCP server, {server}, answers machines on subnet {subnet}", remedy)
    if not servers:
        yield ok("rivals", "no other DHCP server was chosen by a machine of ours in the last 24 hours")
