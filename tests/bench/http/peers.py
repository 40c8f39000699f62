"""The two servers of the comparison as processes of their own, and what the kernel says that they used."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.settings import Settings
from tests.support.deployment import environment

TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """
daemon off;
user root;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  sendfile on;
  tcp_nopush on;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass
class Peer:
    """A running server."""

    name: str
    port: int
    process: int

    def seconds(self) -> float:
        """Processor time of the server and its workers so far."""
        return sum(_seconds(process) for process in self._processes())

    def memory(self) -> int:
        """Octets of memory that the server's processes have for themselves (PSS)."""
        return sum(_pss(process) for process in self._processes())

    def _processes(self) -> list[int]:
        children = Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()
        return [self.process, *map(int, children)]


def _seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS  # utime, stime (proc(5))


def _pss(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@contextmanager
def nginx(folder: Path, root: Path, port: int, workers: int) -> Iterator[Peer]:
    """nginx with sendfile."""
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, root=root, port=port, workers=workers))
    with _running(["nginx", "-e", str(folder / "error.log"), "-c", str(configuration)]) as process:
        yield Peer(f"nginx, {workers} worker{'s' if workers > 1 else ''}", port, process)


@contextmanager
def kickstart(settings: Settings, configuration: Path, port: int) -> Iterator[Peer]:
    """The service as it is deployed, with its spool and its bus."""
    configuration.write_text(
        f'data = "{settings.data}"\n[bus]\nlisten = "127.0.0.1:0"\n[kickstart]\nlisten = "127.0.0.1:{port}"\n'
    )
    command = [sys.executable, "-m", "services.kickstart", "--config", str(configuration)]
    with _running(command) as process:
        yield Peer("kickfleet", port, process)


@contextmanager
def _running(command: list[str]) -> Iterator[int]:
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
