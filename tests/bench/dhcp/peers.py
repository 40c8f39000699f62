"""The servers that are measured: how each is set up and started. All give addresses of one pool by one relay.

Each logs warnings and worse; each keeps its leases in a file on the same disk, in the way that is its default:
kickfleet syncs them before it answers, many leases at once; dnsmasq and dhcpd sync each; Kea never does.
"""

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.dhcp.cable import PREFIX, SERVER, SERVER_INTERFACE

NETWORK = "10.77.0.0"
MASK = "255.255.0.0"
POOL = ("10.77.1.0", "10.77.254.255")
LEASE_SECONDS = 3600
DOMAIN = "bench.example"
START_SECONDS = 90.0


@dataclass
class Running:
    """A started server: its own processes, and those that it leans on (kickfleet's bus)."""

    process: subprocess.Popen[bytes]
    helpers: list[int] = field(default_factory=list)

    def stop(self) -> None:
        """End it; its children end with it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Peer:
    """One kind of server. `command` writes its configuration into an empty folder and says how it is started."""

    name: str
    program: str
    package: str
    command: Callable[[Path], Sequence[str]]

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        return shutil.which(self.program) is not None

    def start(self, folder: Path) -> Running:
        """Start it and wait until it listens. Raises RuntimeError where it does not."""
        folder.mkdir(parents=True)
        command = self.command(folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        wait_listening(process, folder)
        return Running(process)


def wait_listening(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until somebody has port 67. Raises RuntimeError, with the end of the server's log."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _port_is_taken():
            return
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError((folder / "log").read_text(errors="replace")[-2000:])


def _port_is_taken() -> bool:
    lines = Path("/proc/thread-self/net/udp").read_text().splitlines()[1:]
    packets = Path("/proc/thread-self/net/packet").read_text().splitlines()[1:]
    return bool(packets) or any(line.split()[1].endswith(f":{67:04X}") for line in lines)


def kickfleet_command(python: str, folder: Path, data: Path, bus: str) -> Sequence[str]:
    """The service as its own process on a bus that is there; `data` keeps what it knows of the fleet."""
    config = folder / "kickfleet.toml"
    config.write_text(
        f'data = "{data}"\n[bus]\nurl = "{bus}"\n[dhcp]\nstatus = "127.0.0.1:0"\n[log]\nlevel = "warning"\n'
    )
    return [python, "-m", "services.dhcp", "--config", str(config)]


def _kea(folder: Path, threads: int) -> Sequence[str]:
    config = {
        "interfaces-config": {"interfaces": [SERVER_INTERFACE], "dhcp-socket-type": "udp"},
        "lease-database": {"type": "memfile", "persist": True, "name": str(folder / "leases.csv"), "lfc-interval": 0},
        "valid-lifetime": LEASE_SECONDS,
        "multi-threading": {"enable-multi-threading": threads > 1, "thread-pool-size": threads},
        "subnet4": [
            {
                "subnet": f"{NETWORK}/{PREFIX}",
                "pools": [{"pool": " - ".join(POOL)}],
                "option-data": [
                    {"name": "routers", "data": SERVER},
                    {"name": "domain-name-servers", "data": SERVER},
                    {"name": "domain-name", "data": DOMAIN},
                ],
                "next-server": SERVER,
                "boot-file-name": "pxelinux.0",
            }
        ],
        "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": "stderr"}]}],
    }
    (folder / "kea.json").write_text(json.dumps({"Dhcp4": config}, indent=1))
    # Its run files go where nobody else's are.
    return ["env", f"KEA_PIDFILE_DIR={folder}", f"KEA_LOCKFILE_DIR={folder}", "kea-dhcp4", "-c", f"{folder}/kea.json"]


def _dnsmasq(folder: Path) -> Sequence[str]:
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
        "--quiet-dhcp",
        "--no-ping",
        "--log-facility=-",
        f"--pid-file={folder}/pid",
        f"--dhcp-leasefile={folder}/leases",
        "--dhcp-lease-max=100000",
        f"--interface={SERVER_INTERFACE}",
        f"--dhcp-range={POOL[0]},{POOL[1]},{MASK},{LEASE_SECONDS}",
        f"--dhcp-option=option:router,{SERVER}",
        f"--dhcp-option=option:dns-server,{SERVER}",
        f"--domain={DOMAIN}",
        f"--dhcp-boot=pxelinux.0,{socket.gethostname()},{SERVER}",
    ]


def _dhcpd(folder: Path) -> Sequence[str]:
    (folder / "leases").touch()
    (folder / "dhcpd.conf").write_text(
        f"authoritative; ping-check false; default-lease-time {LEASE_SECONDS}; max-lease-time {LEASE_SECONDS};\n"
        f"subnet {NETWORK} netmask {MASK} {{ range {POOL[0]} {POOL[1]}; option routers {SERVER};\n"
        f'  option domain-name-servers {SERVER}; option domain-name "{DOMAIN}";\n'
        f'  next-server {SERVER}; filename "pxelinux.0"; }}\n'
    )
    files = ["-cf", f"{folder}/dhcpd.conf", "-lf", f"{folder}/leases", "-pf", f"{folder}/pid"]
    return ["dhcpd", "-4", "-f", "-q", "--no-pid", *files, SERVER_INTERFACE]


OTHERS = (
    Peer("kea", "kea-dhcp4", "kea-dhcp4-server", lambda folder: _kea(folder, 1)),
    Peer("kea-mt", "kea-dhcp4", "kea-dhcp4-server", lambda folder: _kea(folder, 2)),
    Peer("dnsmasq", "dnsmasq", "dnsmasq-base", _dnsmasq),
    Peer("dhcpd", "dhcpd", "isc-dhcp-server", _dhcpd),
)
