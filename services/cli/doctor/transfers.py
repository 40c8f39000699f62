"""A file fetched as a machine would fetch it: what listens on a port may still answer nobody."""

import io
import logging
from collections.abc import Iterator, Set

import tftpy

from libs.settings import HostPort, Settings
from services.cli.doctor.finding import Finding, fail, ok
from services.cli.supervisor.readiness import reachable
from services.cli.supervisor.runfiles import announced

PROBE = "grub/grub.cfg"  # a text that the service always has
PATIENCE = 3  # seconds for each packet


def tftp(settings: Settings, running: Set[str]) -> Iterator[Finding]:
    """Fetch a text by TFTP from the service on this host, with another program's client."""
    if "tftp" not in running:
        return
    logging.getLogger("tftpy").setLevel(logging.CRITICAL)  # the finding says it all
    address = reachable(announced(settings, "tftp") or settings.tftp.listen)
    try:
        size = _fetch(address)
    except (tftpy.TftpException, OSError) as error:
        remedy = "look at its log, and whether a firewall drops UDP to or from it"
        yield fail("transfer", f"{PROBE} cannot be fetched by TFTP from {address}: {error}", remedy)
    else:
        yield ok("transfer", f"{PROBE} came by TFTP from {address} ({size} bytes)")


def _fetch(address: HostPort) -> int:
    taken = _Sink()
    tftpy.TftpClient(address.host, address.port).download(PROBE, taken, timeout=PATIENCE, retries=1)
    return len(taken.getvalue())


class _Sink(io.BytesIO):
    """Keeps what it was given: the client closes what it writes to."""

    def close(self) -> None:
        """Stay readable."""
