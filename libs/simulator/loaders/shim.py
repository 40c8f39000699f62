"""shim: looks for revocations, which are seldom there, then starts the GRUB beside itself."""

from libs.simulator.boot import Next, Program
from libs.simulator.errors import TransferError
from libs.simulator.loaders.environment import Environment
from libs.simulator.net.tftp_receiver import SHIM

_EXTRAS = ("revocations_sku.efi", "revocations_sbat.efi", "shim_certificate_0.efi")


async def run(env: Environment, path: str) -> Next:
    """Go on from a started shim. Raises TransferError for servers that answer no more; misses are normal."""
    folder = path[: path.rfind("/") + 1]
    for name in _EXTRAS:
        try:
            await env.fetch(folder + name, SHIM)
        except TransferError as error:
            if error.kind not in ("missing", "refused"):
                raise
    return Program(folder + path.rpartition("/")[2].lower().replace("shim", "grub"))
