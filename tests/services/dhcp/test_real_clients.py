"""Real clients on a real link: udhcpc and dhclient in a network namespace, the server in another."""

import asyncio
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.desired import AddressRange
from libs.events import LeaseAcknowledged, LeaseReleased
from libs.settings import Settings, parse_host_port
from libs.wire.dhcp import decode
from libs.wire.dhcp_options import MessageType
from services.cli.supervisor.readiness import ask
from services.dhcp.service import dhcp
from tests.services.dhcp.lab import machine, subnet
from tests.services.dhcp.link import CLIENT_INTERFACE, CLIENT_MAC, SERVER, Link
from tests.services.dhcp.test_service import declare, held
from tests.support import needs
from tests.support.running import Recorder, bus_of, nats_server, recorder, service, settings_in
from tests.support.waiting import until

FIRST = "10.77.0.100"
CONFIG = """
data = "{data}"
[dhcp]
status = "127.0.0.1:0"
[log]
format = "json"
"""

# What a distribution's udhcpc script does, and a line a call so that the test can follow.
UDHCPC_SCRIPT = """#!/bin/sh
case "$1" in
deconfig) ip -4 address flush dev "$interface" ;;
bound|renew) ip address replace "$ip/$mask" dev "$interface" ;;
esac
echo "$1 ip=$ip siaddr=$siaddr file=$boot_file lease=$lease dns=$dns hostname=$hostname" >>"$LOG"
"""
DHCLIENT_SCRIPT = """#!/bin/sh
case "$reason" in
PREINIT) ip link set "$interface" up ;;
BOUND|RENEW|REBOOT|REBIND) ip address replace "$new_ip_address/24" dev "$interface" ;;
EXPIRE|FAIL|RELEASE|STOP) ip -4 address flush dev "$interface" ;;
esac
echo "$reason ip=$new_ip_address" >>LOGFILE
"""


@asynccontextmanager
async def served(folder: Path, **more: Any) -> AsyncIterator[tuple[Settings, Recorder]]:
    """The service on port 67 of the link, with one machine in its fleet, and what it tells the stream.

    `more` is said of the subnet.
    """
    settings = settings_in(folder, dhcp__listen="0.0.0.0", dhcp__port=67)
    pool = AddressRange(first=IPv4Address(FIRST), last=IPv4Address("10.77.0.109"))
    rack = subnet(gateway=IPv4Address(SERVER), pools=[pool], **more)
    async with nats_server(settings), bus_of(settings) as bus, recorder(settings) as tape:
        await declare(bus, rack, machine(mac=CLIENT_MAC))
        async with service("dhcp", dhcp, settings):
            await until(lambda: held(settings) >= 2, "the service knows the fleet")
            yield settings, tape


class Client:
    """A DHCP client's process and the log of its script."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self._log = log

    def lines(self, word: str) -> list[str]:
        """The script's calls of a kind so far."""
        if not self._log.exists():
            return []
        return [line for line in self._log.read_text().splitlines() if line.startswith(word)]

    async def seen(self, word: str, count: int = 1) -> str:
        """Wait for the script's call; its line."""
        await until(lambda: len(self.lines(word)) >= count, f"the client says {word}")
        return self.lines(word)[-1]


@asynccontextmanager
async def udhcpc(link: Link, folder: Path, *flags: str) -> AsyncIterator[Client]:
    """busybox udhcpc in the foreground, ended at the end."""
    script, log = folder / "udhcpc.sh", folder / "udhcpc.log"
    script.write_text(UDHCPC_SCRIPT)
    script.chmod(0o755)
    busybox = needs.program("busybox", "busybox-static")
    command = [busybox, "udhcpc", "-f", "-i", CLIENT_INTERFACE, "-s", str(script), "-t", "10", "-T", "1", *flags]
    async with running(link, ["env", f"LOG={log}", *command]) as process:
        yield Client(process, log)


@asynccontextmanager
async def dhclient(link: Link, folder: Path, *flags: str) -> AsyncIterator[Client]:
    """ISC dhclient in the foreground, ended at the end. The same folder means the same lease database."""
    script, log = folder / "dhclient.sh", folder / "dhclient.log"
    script.write_text(DHCLIENT_SCRIPT.replace("LOGFILE", str(log)))
    script.chmod(0o755)
    program = needs.program("dhclient", "isc-dhcp-client")
    files = ["-sf", str(script), "-lf", str(folder / "leases"), "-pf", str(folder / "pid"), "-cf", "/dev/null"]
    async with running(link, [program, "-d", *files, *flags, CLIENT_INTERFACE]) as process:
        yield Client(process, log)


@asynccontextmanager
async def running(link: Link, command: list[str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*link.at_client(*command), stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def replies(ear: socket.socket) -> list[tuple[bytes, bytes, bytes]]:
    """DHCP replies among the frames so far: Ethernet destination, IP destination, payload."""
    found: list[tuple[bytes, bytes, bytes]] = []
    while True:
        try:
            frame = ear.recv(4096)
        except BlockingIOError:
            return found
        is_udp = frame[12:14] == b"\x08\x00" and frame[23] == 17
        if is_udp and frame[36:38] == (68).to_bytes(2):
            found.append((frame[:6], frame[30:34], frame[42:]))


async def test_udhcpc_obtains_renews_and_releases(tmp_path: Path, link: Link) -> None:
    async with served(tmp_path) as (_, tape), udhcpc(link, tmp_path) as client:
        bound = await client.seen("bound")
        assert f"ip={FIRST} " in bound
        assert "dns=10.77.0.53" in bound
        assert "hostname=node01" in bound
        assert link.client_addresses() == {f"{FIRST}/24"}
        client.process.send_signal(signal.SIGUSR1)
        assert f"ip={FIRST} " in await client.seen("renew")
        await until(lambda: tape.of(LeaseAcknowledged, renewed=True), "the renewal is an event")
        client.process.send_signal(signal.SIGUSR2)
        await until(lambda: tape.of(LeaseReleased, ip=FIRST), "the release is an event")


async def test_dhclient_obtains_reboots_and_releases(tmp_path: Path, link: Link) -> None:
    async with served(tmp_path) as (_, tape):
        async with dhclient(link, tmp_path) as client:
            assert f"ip={FIRST}" in await client.seen("BOUND")
        async with dhclient(link, tmp_path) as client:
            assert f"ip={FIRST}" in await client.seen("REBOOT")
        async with dhclient(link, tmp_path, "-r"):
            await until(lambda: tape.of(LeaseReleased, ip=FIRST), "the release is an event")


async def test_two_clients_of_one_machine_get_one_address(tmp_path: Path, link: Link) -> None:
    """They identify themselves differently, as firmware, installer and system do; the machine is the same."""
    async with served(tmp_path):
        async with udhcpc(link, tmp_path, "-C", "-q") as client:
            assert f"ip={FIRST} " in await client.seen("bound")
        async with udhcpc(link, tmp_path, "-q", "-x", "0x3d:ff0102030405") as client:
            assert f"ip={FIRST} " in await client.seen("bound", 2)
        async with dhclient(link, tmp_path) as client:
            assert f"ip={FIRST}" in await client.seen("BOUND")


async def test_a_client_without_address_gets_a_frame_of_its_own(tmp_path: Path, link: Link) -> None:
    """RFC 2131 section 4.1: to its hardware address and its address to be."""
    async with served(tmp_path):
        with link.frames() as ear:
            async with udhcpc(link, tmp_path, "-q") as client:
                await client.seen("bound")
            heard = replies(ear)
        assert [decode(payload).type for _, _, payload in heard] == [MessageType.OFFER, MessageType.ACK]
        for ethernet, destination, _ in heard:
            assert ethernet.hex(":") == CLIENT_MAC
            assert destination == IPv4Address(FIRST).packed


async def test_a_client_that_asks_for_it_gets_a_broadcast(tmp_path: Path, link: Link) -> None:
    async with served(tmp_path):
        with link.frames() as ear:
            async with udhcpc(link, tmp_path, "-q", "-B") as client:
                await client.seen("bound")
            heard = replies(ear)
        assert len(heard) == 2
        assert {(ethernet, destination) for ethernet, destination, _ in heard} == {(b"\xff" * 6, b"\xff" * 4)}


async def test_each_request_is_answered_once(tmp_path: Path, link: Link) -> None:
    """A broadcast reaches the wildcard socket and the interface's own."""
    async with served(tmp_path):
        with link.frames() as ear:
            async with udhcpc(link, tmp_path, "-q") as client:
                await client.seen("bound")
            transactions = [(decode(payload).xid, decode(payload).type) for _, _, payload in replies(ear)]
        assert len(transactions) == len(set(transactions)) == 2


async def test_an_interface_that_comes_back_is_served_again(tmp_path: Path, link: Link) -> None:
    async with served(tmp_path):
        async with udhcpc(link, tmp_path, "-q") as client:
            await client.seen("bound")
        link.unplug()
        link.plug()
        async with udhcpc(link, tmp_path, "-q") as client:
            assert f"ip={FIRST} " in await client.seen("bound", 2)


# --- without privileges -----------------------------------------------------------------------------------------


def program(folder: Path, *lacking: str) -> list[str]:
    """The service's command line, without some capabilities."""
    config = folder / "kickfleet.toml"
    config.write_text(CONFIG.format(data=folder / "var"))
    dropped = ",".join(f"-{capability}" for capability in lacking)
    return [
        needs.program("setpriv", "util-linux"),
        f"--bounding-set={dropped}",
        sys.executable,
        "-m",
        "services.dhcp",
        "--config",
        str(config),
    ]


async def test_without_a_packet_socket_it_broadcasts_and_says_so_once(tmp_path: Path, link: Link) -> None:
    async with served(tmp_path):
        pass  # leaves the fleet in the replica
    (tmp_path / "var" / "run" / "dhcp").unlink()
    service = await asyncio.create_subprocess_exec(*program(tmp_path, "net_raw"), stdout=DEVNULL, stderr=PIPE)
    try:
        await until((tmp_path / "var" / "run" / "dhcp").exists, "dhcp announces itself")
        with link.frames() as ear:
            async with udhcpc(link, tmp_path, "-q") as client:
                await client.seen("bound")
            assert {destination for _, destination, _ in replies(ear)} == {b"\xff" * 4}
        async with httpx.AsyncClient(trust_env=False) as http:
            page = parse_host_port((tmp_path / "var" / "run" / "dhcp-status").read_text().strip())
            answer = await until(lambda: ask("dhcp", page, http), "dhcp says whether it is ready")
        assert "CAP_NET_RAW" in answer.said["packet socket"]  # where doctor reads it
    finally:
        service.terminate()
        _, said = await service.communicate()
    assert said.decode().count("without CAP_NET_RAW") == 1
    assert service.returncode == 0


@pytest.mark.usefixtures("link")
def test_no_permission_for_port_67_is_said(tmp_path: Path) -> None:
    command = program(tmp_path, "net_bind_service")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "dhcp has no permission for udp 0.0.0.0:67" in ended.stderr
    assert "CAP_NET_BIND_SERVICE" in ended.stderr
    assert "Traceback" not in ended.stderr
