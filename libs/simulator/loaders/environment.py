"""What a running boot loader has of its machine: the lease, the network, the disk, and somebody to report to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import urlsplit

from libs.simulator.boot import Disk, Identity, Lease
from libs.simulator.errors import BootError, TransferError
from libs.simulator.net.download import Download
from libs.simulator.net.http import HttpClient
from libs.simulator.net.tftp import TftpClient
from libs.simulator.net.tftp_receiver import Habit
from libs.simulator.options import GrubBuild, Timing
from libs.simulator.stages import Stage

READABLE = 1024 * 1024  # octets of a text that a loader reads


@dataclass
class Environment:
    """The machine as its boot loader sees it. `reach` tells a stage; `abort_at`: the percentage to break off at."""

    identity: Identity
    lease: Lease
    disk: Disk
    tftp: TftpClient
    http: HttpClient
    timing: Timing
    grub: GrubBuild
    reach: Callable[[Stage, str], Awaitable[None]]
    abort_at: Callable[[Stage | None], float | None]

    async def read(self, path: str, habit: Habit, stage: Stage | None = None) -> bytes:
        """A text, by its path on the TFTP server or its URL. Raises TransferError."""
        return (await self.fetch(path, habit, stage, keep=READABLE)).content

    async def fetch(self, path: str, habit: Habit, stage: Stage | None = None, *, keep: int = 0) -> Download:
        """A file; `stage` is what its arrival means. Raises TransferError."""
        abort_at = self.abort_at(stage)
        if path.lower().startswith("http://"):
            download = (await self.http.get(path, keep=keep, abort_at=abort_at)).download
        else:
            server, name = self._on_tftp(path)
            download = await self.tftp.fetch(server, name, habit, keep=keep, abort_at=abort_at)
        if stage is not None:
            await self.reach(stage, path)
        return download

    async def load(self, path: str, habit: Habit, stage: Stage) -> None:
        """A kernel or an initial ram disk, which is started later and must not be empty."""
        download = await self.fetch(path, habit, stage)
        if not download.size:
            raise BootError(f"{path}: the file is empty")

    def _on_tftp(self, path: str) -> tuple[IPv4Address, str]:
        if "://" not in path:
            return self.lease.next_server, path
        try:
            url = urlsplit(path)
            if url.scheme.lower() == "tftp":
                return IPv4Address(url.hostname or ""), url.path.removeprefix("/")
        except (AddressValueError, ValueError) as error:
            raise TransferError(f"{path[:200]!r}: the server must be an IPv4 address", "broken") from error
        raise TransferError(f"{path[:200]!r}: this loader does not speak {url.scheme}", "broken")
