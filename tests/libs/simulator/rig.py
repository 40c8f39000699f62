"""A whole small deployment for machines to boot from: DHCP, TFTP and HTTP servers, made of the wire's codecs alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from libs.simulator.fleet import simulate
from libs.simulator.options import MachineSpec, Target, Timing
from libs.simulator.stages import Progress, Result
from libs.wire.pxe import Client
from tests.libs.simulator.small_dhcp import HOST, SmallDhcp, small_dhcp
from tests.libs.simulator.small_http import SmallHttp, small_http
from tests.libs.simulator.small_tftp import SmallTftp, small_tftp

MAC = "52:54:00:88:00:01"
DASHED = MAC.replace(":", "-")
RELAY = IPv4Address("127.88.0.1")
PROGRAMS = ("pxelinux.0", "ldlinux.c32", "shimx64.efi", "grubx64.efi", "ipxe.efi", "undionly.kpxe")
KICKSTART = """\
url --url={url}/tree/
reboot
%pre
kickfleet {url}/i/token/started
%end
%post
kickfleet '{url}/i/token/progress?phase=post' 'halfway'
%end
%onerror
kickfleet {url}/i/token/failed "$(tail log)"
%end
%post
kickfleet {url}/i/token/done
%end
"""


@dataclass
class Rig:
    """The servers, and everything that machines reported."""

    dhcp: SmallDhcp
    tftp: SmallTftp
    http: SmallHttp
    progress: list[Progress] = field(default_factory=list)
    on_progress: Callable[[Progress], None] = lambda _: None

    @property
    def arguments(self) -> str:
        """The kernel command line of a kickstart install from here."""
        return f"inst.ks={self.http.url}/i/token/ks.cfg inst.repo={self.http.url}/tree/ ip=dhcp"

    async def power_on(self, *machines: MachineSpec, limit: float = 30, pace: float = 0.02) -> list[Result]:
        """Simulate machines against this deployment."""
        target = Target(HOST, RELAY, self.dhcp.port, self.tftp.port)
        timing = replace(Timing(pace=pace), install=0, restart=0)
        return await simulate(target, machines, report=self._report, timing=timing, limit=limit)

    def _report(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.on_progress(progress)


def boot_file(client: Client) -> str:
    """PXELINUX for a BIOS, shim for UEFI, nothing for an installer or a system."""
    if not client.boots or client.architecture is None:
        return ""
    return "pxelinux.0" if client.architecture.name == "bios" else "shimx64.efi"


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """The servers with every file that an install needs; boot configurations are for the test to put there."""
    files = {name: name.encode() * 500 for name in PROGRAMS}
    files |= {"images/vmlinuz": bytes(50_000), "images/initrd.img": bytes(80_000)}
    async with small_dhcp(boot_file) as dhcp, small_tftp(files) as tftp, small_http() as http:
        http.files |= {"/tree/images/install.img": bytes(200_000), "/vmlinuz": bytes(9000), "/initrd.img": bytes(9000)}
        http.files["/i/token/ks.cfg"] = KICKSTART.format(url=http.url).encode()
        yield Rig(dhcp, tftp, http)
