"""Anaconda, of RHEL and its relatives: inst.ks= names its kickstart, inst.repo= its tree."""

import re
from collections.abc import Mapping

from libs.simulator.errors import TransferError
from libs.simulator.installers.installer import Installer, Kind
from libs.simulator.loaders.environment import READABLE
from libs.simulator.net.personalities import ANACONDA as PERSONALITY
from libs.simulator.texts.answers import kickstart

_PIECE = 64 * 1024  # octets that are read from each end of its own system


def _headers(installer: Installer) -> Mapping[str, str]:
    """What it tells of the machine; the last two only where the command line asks for them."""
    headers = {"X-Anaconda-Architecture": "x86_64", "X-Anaconda-System-Release": "Simulated Linux"}
    flags = {name for name, _ in installer.line.options}
    if "inst.ks.sendmac" in flags:
        headers["X-RHN-Provisioning-MAC-0"] = f"eth0 {installer.identity.mac}"
    if "inst.ks.sendsn" in flags:
        headers["X-System-Serial-Number"] = str(installer.identity.uuid)
    return headers


async def _stage2(installer: Installer, tree: str) -> None:
    """Its own system: where .treeinfo says, else images/install.img; both ends of it, by Range."""
    path = "images/install.img"
    try:
        treeinfo = (await installer.get(tree + ".treeinfo", keep=READABLE)).content
        found = re.search(rb"(?m)^mainimage\s*=\s*(\S+)", treeinfo)
        path = found[1].decode("utf-8", "replace") if found else path
    except TransferError as error:
        if error.kind != "missing":
            raise
    total = await _piece(installer, tree + path, 0)
    if total > _PIECE:
        await _piece(installer, tree + path, max(_PIECE, total - _PIECE))


async def _piece(installer: Installer, url: str, first: int) -> int:
    """Some octets of a file; gives the file's size. Raises TransferError where something else comes."""
    last = first + _PIECE - 1
    response = await installer.get(url, span=(first, last))
    said = response.headers.get("content-range", "")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) != (first, min(last, int(found[3]) - 1)):
        raise TransferError(f"{url}: octets {first}-{last} were asked for, the answer says {said!r}", "broken")
    if response.download.size != int(found[2]) - first + 1:
        raise TransferError(f"{url}: {response.download.size} octets came, the answer says {said!r}", "broken")
    return int(found[3])


ANACONDA = Kind(
    "Anaconda",
    PERSONALITY,
    agent="curl/7.76.1",
    options=("inst.ks", "ks"),
    read=kickstart,
    tree_options=("inst.stage2", "inst.repo", "repo"),
    headers=_headers,
    own_system=_stage2,
)
