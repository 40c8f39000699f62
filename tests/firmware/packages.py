"""Where the tests find the firmware, the boot loaders and a kernel: all of them come from Debian packages."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import needs

CACHE = Path(__file__).parents[2] / ".cache" / "firmware"
SYSLINUX = Path("/usr/lib/syslinux")
SIGNED_GRUB = Path("/usr/lib/grub/x86_64-efi-signed")
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

INSTALLER_PACKAGE = "debian-installer-12-netboot-amd64"
INSTALLER = Path("/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64")

KERNEL_PACKAGE = "linux-image-cloud-amd64"
BUSYBOX_PACKAGE = "busybox-static"
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "tcpdump": "tcpdump",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "sfdisk": "fdisk",
    "syslinux": "syslinux",
}
FILES = {
    OVMF_CODE: "ovmf",
    SYSLINUX / "mbr" / "mbr.bin": "syslinux-common",
    Path("/usr/lib/PXELINUX/pxelinux.0"): "pxelinux",
    SIGNED_GRUB / "grubnetx64.efi.signed": "grub-efi-amd64-signed",
    Path("/usr/lib/shim/shimx64.efi.signed"): "shim-signed",
    Path("/usr/lib/ipxe/qemu/pxe-virtio.rom"): "ipxe-qemu",
}


DYNAMIC_LOADER = b"/lib64/ld-linux"


class PackageMissing(Exception):
    """A Debian package that the firmware tests need is neither installed nor to be had."""


@dataclass(frozen=True)
class Kernel:
    """A kernel and the folder of its modules."""

    image: Path
    modules: Path

    def module(self, name: str) -> Path | None:
        """The file of the module `name`, or None where it is built into the kernel."""
        built_in = (self.modules / "modules.builtin").read_text()
        if f"/{name}.ko" in built_in:
            return None
        found = next(self.modules.rglob(f"{name}.ko"), None)
        if found is None:
            raise PackageMissing(f"the kernel {self.image} has no module {name}: install {KERNEL_PACKAGE}")
        return found


def require() -> None:
    """Skip the calling test by name where this machine lacks something."""
    needs.root()
    for program, package in PROGRAMS.items():
        needs.program(program, package)
    for path, package in FILES.items():
        needs.file(str(path), package)
    try:
        kernel(), busybox()
    except PackageMissing as error:
        needs.missing(str(error))


def kernel() -> Kernel:
    """Debian's cloud kernel: the installed one, else one unpacked into the cache, which leaves /boot alone.

    Raises PackageMissing when apt cannot get it.
    """
    found = _newest(Path("/")) or _newest(CACHE)
    if found is None:
        _unpack(_depended_on(KERNEL_PACKAGE))
        found = _newest(CACHE)
    if found is None:
        raise PackageMissing(f"the package {KERNEL_PACKAGE} has no usable kernel")
    return found


def busybox() -> Path:
    """A statically linked busybox, which the package `busybox`, where that is installed instead, is not.

    Raises PackageMissing when apt cannot get it.
    """
    for root in (Path("/"), CACHE):
        program = root / "bin" / "busybox"
        if program.exists() and DYNAMIC_LOADER not in program.read_bytes():
            return program
    _unpack(BUSYBOX_PACKAGE)
    return CACHE / "bin" / "busybox"


def _newest(root: Path) -> Kernel | None:
    images = sorted((root / "boot").glob("vmlinuz-*-cloud-amd64"), key=lambda image: image.stat().st_mtime)
    for image in reversed(images):
        modules = root / "lib" / "modules" / image.name.removeprefix("vmlinuz-")
        if (modules / "modules.builtin").exists():
            return Kernel(image, modules)
    return None


def _depended_on(package: str) -> str:
    """The one package that the metapackage `package` stands for."""
    for line in _run("apt-cache", "depends", package).splitlines():
        if "Depends: " in line:
            return line.split()[-1]
    raise PackageMissing(f"apt knows no package {package}: run apt-get update")


def _unpack(package: str) -> None:
    _run("apt-get", "download", package)
    for archive in CACHE.glob(f"{package}_*.deb"):
        _run("dpkg-deb", "--extract", str(archive), str(CACHE))
        archive.unlink()


def _run(*command: str) -> str:
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageMissing(f"{command[-1]} is not installed, and {' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
