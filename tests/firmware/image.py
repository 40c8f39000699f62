"""Builds the image that the firmware tests install: a small installer and the system that it writes to the disk.

The tree has the shape of a Red Hat installer directory, `images/pxeboot/{vmlinuz,initrd.img}`, with `disk.img`
beside it. `disk.img` boots by BIOS (syslinux) and by UEFI (`EFI/BOOT/BOOTX64.EFI`, Debian's signed GRUB) into the
same kernel and initramfs with `kickfleet.disk` on the command line.
"""

import gzip
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.firmware.packages import SIGNED_GRUB, SYSLINUX, Kernel, busybox

MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
)
# Serial console, and nothing that costs seconds under emulation.
KERNEL_OPTIONS = ("console=ttyS0,115200", "quiet", "mitigations=off", "random.trust_cpu=on")
KERNEL, INITRD, DISK = "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", "disk.img"

SECTOR = 512
DISK_BYTES = 20 * 1024 * 1024
PARTITION_START = 2048  # in sectors
HERE = Path(__file__).parent
FOLDER, PROGRAM, FILE = 0o040755, 0o100755, 0o100644


def build(tree: Path, kernel: Kernel) -> None:
    """Build the installer tree at `tree`, a folder that does not exist yet."""
    (tree / KERNEL).parent.mkdir(parents=True)
    shutil.copyfile(kernel.image, tree / KERNEL)
    (tree / INITRD).write_bytes(initramfs(kernel))
    build_disk(tree / DISK, tree / KERNEL, tree / INITRD)


def initramfs(kernel: Kernel, modules: Sequence[str] = MODULES) -> bytes:
    """A gzip-compressed cpio archive: busybox, the modules in loading order, and our own /init."""
    loaded = {name: file for name in modules if (file := kernel.module(name))}
    entries: list[tuple[str, int, bytes]] = [
        (name, FOLDER, b"") for name in ("bin", "dev", "modules", "proc", "sys", "tmp", "etc")
    ]
    entries.append(("bin/busybox", PROGRAM, busybox().read_bytes()))
    entries.append(("bin/sh", PROGRAM | 0o020000, b"busybox"))
    entries.append(("init", PROGRAM, (HERE / "init.sh").read_bytes()))
    entries.append(("lease.sh", PROGRAM, (HERE / "lease.sh").read_bytes()))
    entries.append(("modules/order", FILE, "".join(f"{name}.ko\n" for name in loaded).encode()))
    entries += [(f"modules/{name}.ko", FILE, file.read_bytes()) for name, file in loaded.items()]
    return gzip.compress(b"".join(_cpio(entries)), mtime=0)


def _cpio(entries: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    """The archive in the "newc" form (cpio(5)): each entry a header of 13 hex fields, its name, its bytes."""
    for inode, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        yield from map(
            _padded, (b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0", content)
        )


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)


def build_disk(disk: Path, kernel: Path, initrd: Path) -> None:
    """Write the image of an installed disk: one FAT partition with both firmwares' loaders. Mounts nothing."""
    with disk.open("wb") as file:
        file.write((SYSLINUX / "mbr" / "mbr.bin").read_bytes())
        file.truncate(DISK_BYTES)
    _run("sfdisk", "--quiet", str(disk), given=f"label: dos\nstart={PARTITION_START}, type=ef, bootable\n")
    sectors = DISK_BYTES // SECTOR - PARTITION_START
    _run(
        *("mkfs.vfat", "-F", "16", "--offset", str(PARTITION_START), "-h", str(PARTITION_START)),
        *(str(disk), str(sectors // 2)),
    )
    _run("syslinux", "--install", "--offset", str(PARTITION_START * SECTOR), str(disk))
    partition = f"{disk}@@{PARTITION_START * SECTOR}"
    _run("mmd", "-i", partition, "::/EFI", "::/EFI/BOOT", "::/EFI/debian")
    for name, source in {"vmlinuz": kernel, "initrd.img": initrd}.items():
        _run("mcopy", "-i", partition, str(source), f"::/{name}")
    _run("mcopy", "-i", partition, str(SIGNED_GRUB / "grubx64.efi.signed"), "::/EFI/BOOT/BOOTX64.EFI")
    options = " ".join([*KERNEL_OPTIONS, "kickfleet.disk"])
    syslinux = f"default disk\nlabel disk\n  kernel /vmlinuz\n  append initrd=/initrd.img {options}\n"
    grub = f"linux /vmlinuz {options}\ninitrd /initrd.img\nboot\n"
    _run("mcopy", "-i", partition, "-", "::/syslinux.cfg", given=syslinux)
    _run("mcopy", "-i", partition, "-", "::/EFI/debian/grub.cfg", given=grub)


def _run(*command: str, given: str = "") -> None:
    subprocess.run(command, input=given, text=True, check=True, capture_output=True)
