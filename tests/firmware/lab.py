"""A network of the tests' own: one namespace with a bridge, a server's address on it, and a tap device a machine.

Everything that a test starts runs inside the namespace and ends with it, also when the test fails: processes are
ended by their ids, and the namespace is removed by its name, which carries the id of the test process.
"""

import ctypes
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

BRIDGE = "br0"
BRIDGE_MAC = "52:54:00:ff:ff:01"
SERVER = "10.77.0.1"
CIDR = "10.77.0.0/24"
PREFIX = "kickfleet-firmware"
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
ENDING_SECONDS = 20.0


class Lab:
    """The namespace. `folder` holds the logs and the capture; pytest keeps it for the last few runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace = f"{PREFIX}-{os.getpid()}-{secrets.token_hex(3)}"
        self._taps = 0
        self._processes = ExitStack()

    def __enter__(self) -> "Lab":
        _remove_orphans()
        _ip("netns", "add", self.namespace)
        try:
            self.ip("link", "set", "lo", "up")
            # No spanning tree and no delay: a machine's first DISCOVER must not be swallowed by the bridge. Its own
            # address: otherwise it takes the lowest of its ports', and changes it under running machines.
            bridge = ["type", "bridge", "stp_state", "0", "forward_delay", "0"]
            self.ip("link", "add", BRIDGE, "address", BRIDGE_MAC, *bridge)
            self.ip("address", "add", f"{SERVER}/24", "dev", BRIDGE)
            self.ip("link", "set", BRIDGE, "up")
            self._capture()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started, last first, then remove the namespace with its bridge and taps."""
        try:
            self._processes.close()
        finally:
            _ip("netns", "delete", self.namespace)

    def ip(self, *arguments: str) -> None:
        """Run `ip` inside the namespace."""
        _ip("-netns", self.namespace, *arguments)

    def tap(self) -> str:
        """Plug one more cable into the bridge and return its name."""
        name = f"tap{self._taps}"
        self._taps += 1
        self.ip("tuntap", "add", "dev", name, "mode", "tap")
        self.ip("link", "set", name, "master", BRIDGE, "up")
        return name

    def misdirect(self, mac: str) -> None:
        """Send every frame that is addressed to `mac` down a cable that ends nowhere, whatever the bridge learns."""
        entry = ["fdb", "replace", mac, "dev", self.tap(), "master", "static", "sticky"]
        subprocess.run(["bridge", "-netns", self.namespace, *entry], check=True, capture_output=True)

    def start(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process in the namespace; its output goes to `<folder>/<name>.log`. It ends with the lab."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                cwd=self.folder,
            )
        self._processes.callback(end, process)
        return process

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in the namespace: a socket opened now belongs there for good."""
        with Path("/proc/thread-self/ns/net").open("rb") as outer, (NAMESPACES / self.namespace).open("rb") as inner:
            _enter(inner.fileno())
            try:
                yield
            finally:
                _enter(outer.fileno())

    def _capture(self) -> None:
        """Everything on the bridge, heads of the packets only: the last 200 MB, in `<folder>/lab.pcap0` and `1`."""
        ring = ["-C", "100", "-W", "2", "-w", "lab.pcap"]
        self.start(
            "tcpdump", ["tcpdump", "--immediate-mode", "-Z", "root", "-U", "-n", "-s", "700", "-i", BRIDGE, *ring]
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and make it end when it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _remove_orphans() -> None:
    """Remove the namespaces of test processes that were killed before they could clean up."""
    for entry in NAMESPACES.glob(f"{PREFIX}-*"):
        owner = entry.name.removeprefix(f"{PREFIX}-").partition("-")[0]
        if not Path("/proc", owner).exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", entry.name)


def _enter(descriptor: int) -> None:
    """setns(2); Python has it from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
