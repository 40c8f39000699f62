"""Files that machines will ask for: boot loaders, kernels, initial ram disks, the site's templates."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from libs.settings import Settings
from services.cli.doctor.finding import Finding, fail, ok, warn
from services.tftp.loaders import packaged

# Which files make a firmware boot, and the Debian packages that bring them.
FIRMWARE: Mapping[str, tuple[Sequence[str], str]] = {
    "BIOS": (("pxelinux.0", "ldlinux.c32"), "pxelinux syslinux-common"),
    "UEFI x64": (("shimx64.efi", "grubx64.efi"), "shim-signed grub-efi-amd64-signed"),
}


def find_loader(settings: Settings, name: str) -> Path | None:
    """Where tftp would take a boot loader from."""
    folders = [Path(settings.tftp.loaders)] if settings.tftp.loaders else []
    candidates = [*(folder / name for folder in (*folders, settings.data / "loaders")), *map(Path, packaged(name))]
    return next((path for path in candidates if path.is_file()), None)


def loaders(settings: Settings) -> Iterator[Finding]:
    """Each kind of firmware needs its chain of loaders whole."""
    for firmware, (names, packages) in FIRMWARE.items():
        missing = [name for name in names if not find_loader(settings, name)]
        if missing:
            remedy = f"apt-get install {packages}, or put the files into {settings.data / 'loaders'}"
            yield warn("loaders", f"{firmware} machines cannot boot: {', '.join(missing)} not found", remedy)
        else:
            yield ok("loaders", f"{firmware}: {', '.join(str(find_loader(settings, name)) for name in names)}")


def images(settings: Settings, declared: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """An image's kernel and initial ram disks lie below `<data>/images/<name>`."""
    for image in declared:
        folder = settings.data / "images" / str(image["name"])
        wanted = [str(image["kernel"]), *image.get("initrd", [])]
        missing = [path for path in wanted if not (folder / path).is_file()]
        if missing:
            remedy = f"copy the installation tree of {image['name']} to {folder}"
            yield fail("images", f"{image['name']}: {', '.join(missing)} not found in {folder}", remedy)
        else:
            yield ok("images", f"{image['name']}: {', '.join(wanted)}")


def templates(settings: Settings) -> Iterator[Finding]:
    """The site's own templates are optional, but a folder that was named is meant."""
    folder = settings.kickstart.templates
    if folder.is_dir():
        count = sum(1 for file in folder.rglob("*") if file.is_file())
        yield ok("templates", f"{folder} ({count} files), before the built-in ones")
    elif folder.name != "templates":
        yield warn("templates", f"`kickstart.templates` names {folder}, which is no folder", "create it")
