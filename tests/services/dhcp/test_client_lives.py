"""The life of a lease with each real client: obtained, renewed, rebound when its server is deaf, given back.

What the clients send is taken from the wire: a renewal is addressed to the server, a rebinding to everyone (RFC 2131
section 4.4.5), and both name the address in ciaddr.
"""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from libs.events import LeaseAcknowledged, LeaseReleased
from libs.wire.dhcp import NONE, decode
from libs.wire.dhcp_options import MessageType
from tests.services.dhcp.link import CLIENT_INTERFACE, SERVER, Link
from tests.services.dhcp.test_real_clients import FIRST, running, served
from tests.support import needs
from tests.support.waiting import until

BROADCAST = IPv4Address("255.255.255.255")
NETWORKD = Path("/lib/systemd/systemd-networkd")
APART = ["unshare", "--mount", "sh", "-ec"]  # what a client keeps in the file system is gone with it

UDHCPC = """exec "$BUSYBOX" udhcpc -f -i eth0 -s "$SCRIPT" -T 1"""
DHCLIENT_FILES = "-cf /var/lib/dhcp/conf -pf /var/lib/dhcp/pid -lf /var/lib/dhcp/leases"
# By default it repeats itself after ten seconds, which is longer than its lease.
DHCLIENT = f"""mount -t tmpfs none /var/lib/dhcp
echo 'initial-interval 1; backoff-cutoff 1;' >/var/lib/dhcp/conf
exec dhclient -d -sf "$SCRIPT" {DHCLIENT_FILES} eth0"""
DHCPCD = """mkdir -p /run/dhcpcd /var/lib/dhcpcd
mount -t tmpfs none /run/dhcpcd; mount -t tmpfs none /var/lib/dhcpcd
exec dhcpcd -4 -B -c /bin/true --noarp -f /dev/null eth0"""
# It waits for udev to name a card, unless /sys cannot be written, as in a container.
SYSTEMD_NETWORKD = """mount -t tmpfs none /run/systemd; mkdir -p /run/systemd/network /run/systemd/netif
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\nLinkLocalAddressing=no\\n' >/run/systemd/network/a.network
chown systemd-network /run/systemd/netif; mount -o remount,bind,ro /sys
exec /lib/systemd/systemd-networkd"""
SCRIPT = """#!/bin/sh
case "$1$reason" in
bound|renew) ip address replace "$ip/$mask" dev eth0 ;;
deconfig) ip -4 address flush dev eth0 ;;
PREINIT) ip link set eth0 up ;;
BOUND|RENEW|REBIND|REBOOT) ip address replace "$new_ip_address/24" dev eth0 ;;
esac
"""


Act = Sequence[str] | signal.Signals


@dataclass(frozen=True)
class Client:
    """How a client is run, and what makes it renew, rebind and release; where nothing is named, its timers."""

    name: str
    needed: Callable[[], object]
    script: str
    lease: int = 8  # seconds; it renews after half of them, rebinds after seven eighths
    renew: Act = ()
    rebind: Act = ()
    release: Act = signal.SIGTERM


CLIENTS = (
    # With less than a minute left it rebinds at once, unless it is told to renew.
    Client(
        "udhcpc",
        lambda: needs.program("busybox", "busybox-static"),
        UDHCPC,
        renew=signal.SIGUSR1,
        release=signal.SIGUSR2,
    ),
    Client(
        "dhclient",
        lambda: needs.program("dhclient", "isc-dhcp-client"),
        DHCLIENT,
        release=(
            "dhclient",
            "-r",
            "-sf",
            "/bin/true",
            "-pf",
            "/var/lib/dhcp/pid",
            "-lf",
            "/var/lib/dhcp/leases",
            "eth0",
        ),
    ),
    # It takes no lease shorter than 20 seconds, but does at once what it is told.
    Client(
        "dhcpcd",
        lambda: needs.program("dhcpcd", "dhcpcd-base"),
        DHCPCD,
        lease=3600,
        renew=("dhcpcd", "-4", "-N", "eth0"),
        rebind=("dhcpcd", "-4", "-n", "eth0"),
        release=("dhcpcd", "-4", "-k", "eth0"),
    ),
    Client("systemd-networkd", lambda: needs.file(str(NETWORKD), "systemd"), SYSTEMD_NETWORKD),
)


class Wire:
    """What the client asked for so far, by kind."""

    def __init__(self, ear: socket.socket) -> None:
        self._ear = ear
        self.asked: Counter[str] = Counter()

    def has(self, kind: str) -> bool:
        """Whether the client has asked for it."""
        self._listen()
        return self.asked[kind] > 0

    def _listen(self) -> None:
        while True:
            try:
                frame = self._ear.recv(4096)
            except BlockingIOError:
                return
            if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == (67).to_bytes(2):
                self.asked[_kind(IPv4Address(frame[30:34]), frame[42:])] += 1


def _kind(destination: IPv4Address, payload: bytes) -> str:
    message = decode(payload)
    if message.type == MessageType.REQUEST and message.ciaddr != NONE:
        return "rebind" if destination == BROADCAST else "renew"
    return message.type_name


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_a_lease_is_obtained_renewed_rebound_and_released(tmp_path: Path, link: Link, client: Client) -> None:
    client.needed()
    script = tmp_path / "script"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    busybox = needs.program("busybox", "busybox-static")
    command = ["env", f"SCRIPT={script}", f"BUSYBOX={busybox}", *APART, client.script]
    async with served(tmp_path, lease_seconds=client.lease) as (_, tape):
        with link.frames() as ear:
            wire = Wire(ear)
            async with running(link, command) as process:
                await until(lambda: link.client_addresses() == {f"{FIRST}/24"}, "it has its address")
                await _do(link, process, client.renew)
                await until(lambda: wire.has("renew"), "it renews")
                await until(lambda: tape.of(LeaseAcknowledged, renewed=True), "its renewal is acknowledged")
                _deafen(link, deaf=True)
                before = len(tape.of(LeaseAcknowledged, renewed=True))
                await _do(link, process, client.rebind)
                await until(lambda: wire.has("rebind"), "it rebinds")
                await until(lambda: len(tape.of(LeaseAcknowledged, renewed=True)) > before, "it is acknowledged")
                _deafen(link, deaf=False)
                await _do(link, process, client.release)
                await until(lambda: tape.of(LeaseReleased, ip=FIRST), "its release is an event")
    assert {event.ip for event in tape.of(LeaseAcknowledged)} == {FIRST}


def _deafen(link: Link, *, deaf: bool) -> None:
    """What the client sends to the server alone goes to a card that nobody has."""
    card = "02:00:00:00:00:99" if deaf else link.server_mac()
    entry = [SERVER, "lladdr", card, "dev", CLIENT_INTERFACE, "nud", "permanent"]
    link.at_client_now("ip", "neighbour", "replace", *entry)


async def _do(link: Link, process: Process, what: Act) -> None:
    if isinstance(what, signal.Signals):
        process.send_signal(what)
    elif what:
        beside = ["nsenter", "--target", str(process.pid), "--mount", "--", *what]
        child = await asyncio.create_subprocess_exec(*link.at_client(*beside), stdout=sys.stderr)
        assert await child.wait() == 0, what
