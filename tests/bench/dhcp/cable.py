"""Two network namespaces joined by a cable: the servers' and the clients'."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = "10.77.0.1"
CLIENTS = "10.77.0.2"  # a relay agent's address, and that of the clients' end of the cable
PREFIX = 16
SERVER_INTERFACE = "eth1"
CLIENT_INTERFACE = "eth0"

_CLONE_NEWNET = 0x40000000


class Cable:
    """The namespaces carry the id of this process in their names."""

    def __init__(self) -> None:
        name = f"kickfleet-bench-{os.getpid()}"
        self.servers, self.clients = f"{name}-s", f"{name}-c"

    def at_clients(self, *command: str) -> list[str]:
        """A command line that runs at the clients' end."""
        return ["ip", "netns", "exec", self.clients, *command]

    @contextmanager
    def laid(self) -> Iterator[None]:
        """The cable is there, and this thread, with all that it starts, is at the servers' end."""
        try:
            self._lay()
            with _inside(self.servers):
                yield
        finally:
            for namespace in (self.servers, self.clients):
                subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)

    def _lay(self) -> None:
        for namespace in (self.servers, self.clients):
            _ip("netns", "add", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        ends = [SERVER_INTERFACE, "netns", self.servers, "type", "veth", "peer", "name", CLIENT_INTERFACE]
        _ip("link", "add", *ends, "netns", self.clients)
        for namespace, address, interface in (
            (self.servers, SERVER, SERVER_INTERFACE),
            (self.clients, CLIENTS, CLIENT_INTERFACE),
        ):
            _ip("-n", namespace, "address", "add", f"{address}/{PREFIX}", "broadcast", "+", "dev", interface)
            _ip("-n", namespace, "link", "set", interface, "up")


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
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
