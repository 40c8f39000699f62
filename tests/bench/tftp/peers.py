"""The servers that are compared, each with the same folder of files on a port of its own on loopback.

Programs that are not installed are unpacked from their Debian packages below .cache (two of them cannot be installed
together); where they cannot be had either, the bench says so and goes on without them.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.deployment import environment

CACHE = Path(__file__).parents[3] / ".cache" / "bench"
PATIENCE = 30.0  # seconds for a server to answer its first request
_READ = b"\0\1hello\0octet\0"


@dataclass(frozen=True)
class Usage:
    """What a server has cost since it started: processor seconds and resident octets, children included."""

    cpu: float
    memory: int


@dataclass
class Server:
    """A running server."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    account: "Account"

    def usage(self) -> Usage:
        """Processor time by the kernel's account of the whole group, the processes that have ended included."""
        memory = sum(_memory(pid) for pid in _family(self.process.pid))
        return Usage(self.account.seconds(), memory)


class Account:
    """A control group that counts the processor time of a server and all its children (version 1 or 2)."""

    def __init__(self, name: str) -> None:
        """Raises OSError without root."""
        groups = Path("/sys/fs/cgroup")
        first = groups / "cpuacct"
        self._folder = (first if first.is_dir() else groups) / f"kickfleet-bench-{os.getpid()}-{name}"
        self._folder.mkdir()

    def enter(self) -> None:
        """The calling process and its children belong to it from now on."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self) -> float:
        """Used so far."""
        first = self._folder / "cpuacct.usage"
        if first.exists():
            return int(first.read_text()) / 1e9
        lines = dict(line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())
        return int(lines["usage_usec"]) / 1e6

    def close(self) -> None:
        """End what is left of its processes, and remove it."""
        deadline = time.monotonic() + PATIENCE
        while members := (self._folder / "cgroup.procs").read_text().split():
            for member in members:
                _end(int(member))
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes {members} do not end")
            time.sleep(0.05)
        self._folder.rmdir()


def _memory(pid: int) -> int:
    """Octets that are its own: shared pages count in part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:"))


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def program(name: str, *packages: str) -> tuple[str, dict[str, str]] | None:
    """The path of a server, and the environment it needs; None where it cannot be had."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found:
        return found, {}
    root = CACHE / packages[0]
    if not (root / "usr/sbin" / name).exists():
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *packages], cwd=root, capture_output=True, check=False)
        for package in root.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    path = root / "usr/sbin" / name
    libraries = ":".join(str(folder) for folder in root.glob("usr/lib/*-linux-gnu*"))
    return (str(path), {"LD_LIBRARY_PATH": libraries}) if path.exists() else None


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _command(name: str, root: Path, port: int) -> tuple[list[str], dict[str, str]] | None:
    """How a peer is started so that it answers on loopback and stays our child."""
    if name == "tftpy":
        code = (
            "import sys, tftpy, logging; logging.disable(50);"
            "tftpy.TftpServer(sys.argv[1]).listen('127.0.0.1', int(sys.argv[2]))"
        )
        return [sys.executable, "-c", code, str(root), str(port)], {}
    commands = {
        "tftpd-hpa": (
            program("in.tftpd", "tftpd-hpa", "libwrap0"),
            ["-L", "-u", "root", "-a", f"127.0.0.1:{port}", "-s", str(root)],
        ),
        "atftpd": (
            program("atftpd", "atftpd", "libwrap0"),
            f"--daemon --no-fork --user root.root --port {port} --bind-address 127.0.0.1 --maxthread 2000"
            f" --verbose=0 --logfile /dev/null {root}".split(),
        ),
        "dnsmasq": (
            program("dnsmasq", "dnsmasq-base"),
            f"-k --port=0 --user=root --enable-tftp --tftp-root={root} --tftp-max=2000 --pid-file= --interface=lo"
            " --log-facility=/dev/null --conf-file=/dev/null --bind-interfaces --listen-address=127.0.0.1".split(),
        ),
    }
    found, arguments = commands[name]
    return ([found[0], *arguments], found[1]) if found else None


@contextmanager
def ours(root: Path, data: Path) -> Iterator[Server]:
    """The service as it is run alone: without a bus, its events in its spool."""
    port = _free_port()
    env = environment() | {
        "KICKFLEET_DATA": str(data),
        "KICKFLEET_TFTP__LISTEN": f"127.0.0.1:{port}",
        "KICKFLEET_TFTP__LOADERS": str(root),
        "KICKFLEET_TFTP__STATUS": "127.0.0.1:0",
        "KICKFLEET_BUS__URL": "nats://127.0.0.1:9",
        "KICKFLEET_LOG__LEVEL": "warning",
    }
    with _running("kickfleet", [sys.executable, "-m", "services.tftp"], env, port) as server:
        yield server


@contextmanager
def peer(name: str, root: Path) -> Iterator[Server | None]:
    """A peer by its name; None where it is not to be had. dnsmasq knows port 69 only."""
    port = 69 if name == "dnsmasq" else _free_port()
    command = _command(name, root, port)
    if command is None:
        yield None
        return
    with _running(name, command[0], environment() | command[1], port) as server:
        yield server


@contextmanager
def _running(name: str, command: list[str], env: dict[str, str], port: int) -> Iterator[Server]:
    account = Account(name)
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=account.enter
    )
    try:
        _wait(name, process, port)
        yield Server(name, port, process, account)
    finally:
        for pid in reversed(_family(process.pid)):
            _end(pid)
        process.wait()
        account.close()


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, 9)


def _wait(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.3)
            sock.sendto(_READ, ("127.0.0.1", port))
            try:
                raw, sender = sock.recvfrom(2048)
                sock.sendto(b"\0\4" + raw[2:4], sender)
            except OSError:
                continue
            return
    raise RuntimeError(f"{name} does not serve: {' '.join(map(str, process.args))}")  # type: ignore[arg-type]
