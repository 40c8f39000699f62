"""Ports: each is either served by kickfleet already, or free to be taken by this user."""

import errno
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from libs.settings import HostPort, Settings
from services.cli.doctor.finding import Finding, fail, ok, warn
from services.cli.supervisor.readiness import Readiness
from services.cli.supervisor.runfiles import announced

CAP_NET_BIND_SERVICE, CAP_NET_RAW = 10, 13  # linux/capability.h


@dataclass(frozen=True)
class _Wanted:
    """An address that a service needs."""

    owner: str  # whose /readyz says that the port is ours
    setting: str
    protocol: str
    address: HostPort


def _wanted(settings: Settings) -> Iterator[_Wanted]:
    yield _Wanted("dhcp", "dhcp.port", "udp", HostPort(settings.dhcp.listen, settings.dhcp.port))
    yield _Wanted("tftp", "tftp.listen", "udp", settings.tftp.listen)
    yield _Wanted("kickstart", "kickstart.listen", "tcp", settings.kickstart.listen)
    yield _Wanted("inventory", "inventory.listen", "tcp", settings.inventory.listen)
    yield _Wanted("dhcp", "dhcp.status", "tcp", settings.dhcp.status)
    yield _Wanted("tftp", "tftp.status", "tcp", settings.tftp.status)
    if not settings.bus.url:
        yield _Wanted("nats", "bus.listen", "tcp", settings.bus.listen)


def ports(settings: Settings, running: set[str]) -> Iterator[Finding]:
    """`running`: the parts of this deployment that answer now."""
    for wanted in _wanted(settings):
        yield _check(wanted, settings, ours=wanted.owner in running)


def _check(wanted: _Wanted, settings: Settings, *, ours: bool) -> Finding:
    where = f"{wanted.protocol} {wanted.address} (`{wanted.setting}`)"
    if ours:
        at = announced(settings, wanted.owner) if wanted.address.port == 0 else None
        return ok("port", f"{where} is served by {wanted.owner}{f' at {at}' if at else ''}")
    error = _try(wanted)
    if error is None:
        return ok("port", f"{where} is free for {wanted.owner}")
    if error.errno == errno.EADDRINUSE:
        remedy = f"stop it (`ss -lpn 'sport = :{wanted.address.port}'` names it), or change `{wanted.setting}`"
        return fail("port", f"{where} is used by another program", remedy)
    if error.errno in (errno.EACCES, errno.EPERM):
        remedy = "run as root, or grant CAP_NET_BIND_SERVICE and CAP_NET_RAW (deploy/systemd does)"
        return fail("port", f"{where} needs a permission that this user has not", remedy)
    return fail(
        "port", f"{where} cannot be had: {error.strerror}", f"set `{wanted.setting}` to an address of this host"
    )


def _try(wanted: _Wanted) -> OSError | None:
    kind = socket.SOCK_DGRAM if wanted.protocol == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET6 if ":" in wanted.address.host else socket.AF_INET
    with closing(socket.socket(family, kind)) as sock:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((wanted.address.host, wanted.address.port))
        except OSError as error:
            return error
    return None


def raw_socket(settings: Settings, dhcp: Readiness | None) -> Iterator[Finding]:
    """Answers to clients that have no address yet leave by a packet socket; `dhcp`: what it says, where it runs."""
    if dhcp.said.get("packet socket") == "" if dhcp else _has(CAP_NET_RAW):
        yield ok("rights", "may send to machines that have no address yet (CAP_NET_RAW)")
    elif settings.dhcp.port < 1024 and settings.dhcp.port:
        remedy = "run as root or grant CAP_NET_RAW; relay agents alone need neither"
        yield warn(
            "rights", "may not send to machines that have no address yet: they are answered by broadcast", remedy
        )


def _has(capability: int) -> bool:
    status = Path("/proc/self/status").read_text("utf-8")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> capability & 1)
