"""Two network namespaces joined by a cable: the server's, which the test itself enters, and a client's.

With `neighbour` there is a third one, and a switch between them.

The namespaces carry the id of the test process in their names and are removed by name, also when the test fails.
"""

import ctypes
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = "10.77.0.2"
NEIGHBOUR = "10.77.0.3"
CLIENT_MAC = "52:54:00:00:00:01"
SERVER_INTERFACE = "eth1"
CLIENT_INTERFACE = "eth0"

_CLONE_NEWNET = 0x40000000
_ETHERTYPES = 0x0003  # ETH_P_ALL


class Link:
    """The cable. Commands of the client's side run in its namespace."""

    def __init__(self, *, neighbour: bool = False) -> None:
        name = f"kickfleet-dhcp-{os.getpid()}-{secrets.token_hex(3)}"
        self.server, self.client = f"{name}-s", f"{name}-c"
        self.neighbour = f"{name}-n" if neighbour else ""

    def build(self) -> None:
        """Make the namespaces, joined; the client's interface has no address."""
        for namespace in self._namespaces:
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        if self.neighbour:
            self._switch()
        else:
            self.plug()

    @property
    def _namespaces(self) -> list[str]:
        return [name for name in (self.server, self.client, self.neighbour) if name]

    def _switch(self) -> None:
        """The server's interface is the switch itself."""
        bridge = [SERVER_INTERFACE, "type", "bridge", "stp_state", "0", "forward_delay", "0"]
        _ip("-n", self.server, "link", "add", *bridge)
        _ip("-n", self.server, "address", "add", f"{SERVER}/24", "dev", SERVER_INTERFACE)
        _ip("-n", self.server, "link", "set", SERVER_INTERFACE, "up")
        for port, namespace in (("port0", self.client), ("port1", self.neighbour)):
            ends = [port, "netns", self.server, "type", "veth", "peer", "name", CLIENT_INTERFACE]
            _ip("link", "add", *ends, "netns", namespace)
            _ip("-n", self.server, "link", "set", port, "master", SERVER_INTERFACE, "up")
        _ip("-n", self.client, "link", "set", CLIENT_INTERFACE, "address", CLIENT_MAC, "up")
        _ip("-n", self.neighbour, "address", "add", f"{NEIGHBOUR}/24", "dev", CLIENT_INTERFACE)
        _ip("-n", self.neighbour, "link", "set", CLIENT_INTERFACE, "up")

    def plug(self) -> None:
        """Put the cable in; the client's interface always has the same hardware address."""
        ends = [SERVER_INTERFACE, "netns", self.server, "type", "veth", "peer", "name", CLIENT_INTERFACE]
        _ip("link", "add", *ends, "netns", self.client)
        _ip("-n", self.server, "address", "add", f"{SERVER}/24", "dev", SERVER_INTERFACE)
        _ip("-n", self.server, "link", "set", SERVER_INTERFACE, "up")
        _ip("-n", self.client, "link", "set", CLIENT_INTERFACE, "address", CLIENT_MAC, "up")

    def unplug(self) -> None:
        """Take the interfaces away."""
        _ip("-n", self.server, "link", "delete", SERVER_INTERFACE)

    def remove(self) -> None:
        """Remove all; the cable goes with them."""
        for namespace in self._namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)

    def at_client(self, *command: str) -> list[str]:
        """A command line that runs on the client's side."""
        return ["ip", "netns", "exec", self.client, *command]

    def at_client_now(self, *command: str) -> None:
        """Run a command on the client's side."""
        subprocess.run(self.at_client(*command), check=True, capture_output=True, text=True)

    def at_neighbour(self, *command: str) -> list[str]:
        """A command line that runs on the neighbour's side."""
        return ["ip", "netns", "exec", self.neighbour, *command]

    def client_addresses(self) -> set[str]:
        """What the client's interface is called now."""
        shown = subprocess.run(
            self.at_client("ip", "-4", "-o", "address", "show", "dev", CLIENT_INTERFACE),
            check=True,
            capture_output=True,
            text=True,
        )
        return {line.split()[3] for line in shown.stdout.splitlines()}

    def server_mac(self) -> str:
        """The hardware address of the server's interface."""
        shown = subprocess.run(
            ["ip", "-n", self.server, "-o", "link", "show", "dev", SERVER_INTERFACE],
            check=True,
            capture_output=True,
            text=True,
        )
        words = shown.stdout.split()
        return words[words.index("link/ether") + 1]

    @contextmanager
    def frames(self) -> Iterator[socket.socket]:
        """A socket that sees every frame on the client's interface from now on."""
        with inside(self.client):
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETHERTYPES))
        with ear:
            ear.bind((CLIENT_INTERFACE, _ETHERTYPES))
            yield ear

    @contextmanager
    def inside_client(self) -> Iterator[None]:
        """The calling thread is on the client's side: a socket opened now belongs there for good."""
        with inside(self.client):
            yield

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread, and what it starts, is on the server's side."""
        with inside(self.server):
            yield


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread, and what it starts, is in the namespace."""
    with Path("/proc/thread-self/ns/net").open("rb") as outer, Path("/run/netns", namespace).open("rb") as inner:
        _enter(inner.fileno())
        try:
            yield
        finally:
            _enter(outer.fileno())


def _enter(descriptor: int) -> None:
    """setns(2); Python has it from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
