"""What the simulated machines are given to load: an image made up on the spot, and boot loaders.

Nothing in a simulated machine executes what it loads, so a kernel may be any octets of a plausible number. The boot
loaders are the host's own where its packages have them.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from libs.settings import Settings
from services.cli.doctor.files import FIRMWARE, find_loader

IMAGE = "demo-os"
KIB = 1024
FILES = {
    "images/pxeboot/vmlinuz": 512 * KIB,
    "images/pxeboot/initrd.img": 1024 * KIB,
    "images/install.img": 2048 * KIB,
}
TREEINFO = "[general]\nname = Demo OS\n[stage2]\nmainimage = images/install.img\n"
LOADER_SIZES = {"pxelinux.0": 42 * KIB, "ldlinux.c32": 119 * KIB, "shimx64.efi": 930 * KIB, "grubx64.efi": 1500 * KIB}


def make_image(settings: Settings) -> Path:
    """An installation tree in the data folder; what is there already is left."""
    folder = settings.data / "images" / IMAGE
    for path, size in FILES.items():
        _write(folder / path, size)
    (folder / ".treeinfo").write_text(TREEINFO, "utf-8")
    return folder


def stand_in_loaders(settings: Settings) -> list[str]:
    """Make a stand-in for each boot loader that no package brings; returns their names."""
    missing = [name for names, _ in FIRMWARE.values() for name in names if not find_loader(settings, name)]
    for name in missing:
        _write(settings.data / "loaders" / name, LOADER_SIZES[name])
    return missing


def _write(path: Path, size: int) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(_octets(path.name, size)))


def _octets(seed: str, size: int) -> Iterator[bytes]:
    """Octets that do not repeat, so that a block in the wrong place would be another one."""
    for number in range(size // 32):
        yield hashlib.sha256(f"{seed}/{number}".encode()).digest()
