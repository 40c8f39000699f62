"""THE table of boot loaders: by which name machines ask, what their arrival means, where packages put them.

A new loader is one line. `{name}` stands for the name that was asked for. The site's own folders come before these
places; there a loader is known by its name alone.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from libs.events import Fetched, FileFetched, GrubFetched, IpxeFetched, PxelinuxFetched, ShimFetched


@dataclass(frozen=True, slots=True)
class Loader:
    """Files whose names match `pattern`."""

    pattern: str
    event: type[Fetched]
    places: tuple[str, ...] = ()


_SYSLINUX = ("/usr/lib/syslinux/modules/bios/{name}", "/usr/share/syslinux/{name}")
_IPXE = ("/usr/lib/ipxe/{name}", "/usr/share/ipxe/{name}")
_SHIM = ("/usr/lib/shim/{name}.signed", "/usr/lib/shim/{name}.signed.latest", "/usr/lib/shim/{name}")

LOADERS: tuple[Loader, ...] = (
    # packages pxelinux (Debian), syslinux-nonlinux (Fedora)
    Loader("pxelinux.0", PxelinuxFetched, ("/usr/lib/PXELINUX/{name}", "/usr/share/syslinux/{name}")),
    Loader("lpxelinux.0", PxelinuxFetched, ("/usr/lib/PXELINUX/{name}", "/usr/share/syslinux/{name}")),
    # package syslinux-common
    Loader("*.c32", FileFetched, _SYSLINUX),
    Loader("ldlinux.e64", FileFetched, ("/usr/lib/syslinux/modules/efi64/{name}", "/usr/share/syslinux/efi64/{name}")),
    Loader("ldlinux.e32", FileFetched, ("/usr/lib/syslinux/modules/efi32/{name}", "/usr/share/syslinux/efi32/{name}")),
    Loader("memdisk", FileFetched, ("/usr/lib/syslinux/{name}", "/usr/share/syslinux/{name}")),
    # package shim-signed; mm*.efi is its key manager, fb*.efi its fallback
    Loader("shim*.efi", ShimFetched, _SHIM),
    Loader("mm*.efi", FileFetched, _SHIM),
    Loader("fb*.efi", FileFetched, _SHIM),
    # packages grub-efi-*-signed: only the builds named grubnet know the network
    Loader("grubx64.efi", GrubFetched, ("/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",)),
    Loader("grubia32.efi", GrubFetched, ("/usr/lib/grub/i386-efi-signed/grubnetia32.efi.signed",)),
    Loader("grubaa64.efi", GrubFetched, ("/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",)),
    Loader("grub*.efi", GrubFetched),
    # package ipxe
    Loader("undionly*.k*pxe", IpxeFetched, _IPXE),
    Loader("ipxe.*pxe", IpxeFetched, _IPXE),
    Loader("ipxe*.efi", IpxeFetched, _IPXE),
    Loader("snponly*.efi", IpxeFetched, _IPXE),
)


def loader_of(path: str) -> Loader | None:
    """The line of the table for a path, by its last part."""
    name = path.rpartition("/")[2]
    return next((loader for loader in LOADERS if fnmatchcase(name, loader.pattern)), None)


def packaged(path: str) -> tuple[str, ...]:
    """The places where packages put the loader that is asked for without a folder."""
    loader = loader_of(path)
    if loader is None or "/" in path:
        return ()
    return tuple(place.format(name=path) for place in loader.places)
