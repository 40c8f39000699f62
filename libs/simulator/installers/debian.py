"""The Debian installer: url= names its preseed, which names the mirror; its own system is its initial ram disk."""

from libs.simulator.installers.installer import Installer, Kind
from libs.simulator.loaders.environment import READABLE
from libs.simulator.net.personalities import DEBIAN_INSTALLER
from libs.simulator.texts.answers import preseed


async def _release(installer: Installer, tree: str) -> None:
    """What every mirror has, and the installer asks for first."""
    suite = installer.line.get("mirror/suite", "suite") or "stable"
    await installer.get(tree + f"dists/{suite}/Release", keep=READABLE)


DEBIAN = Kind(
    "Debian installer",
    DEBIAN_INSTALLER,
    agent="debian-installer",
    options=("url", "preseed/url"),
    read=preseed,
    packages=_release,
)
