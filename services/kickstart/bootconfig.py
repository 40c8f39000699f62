"""Boot configurations: which text each boot loader is given, and under which names it may ask for it."""

from collections.abc import Mapping

from libs.desired import BootFilesDocument
from libs.mac import dashed
from services.kickstart.facts import Order, Select, tftp_path
from services.kickstart.sandbox import RenderError, Sandbox
from services.kickstart.sources import BUILTIN

LOADERS = ("pxelinux", "grub", "ipxe")
MAX_TEXT = 10 * 1024  # characters of one boot configuration


def boot_files(order: Order, sandbox: Sandbox) -> BootFilesDocument:
    """Every boot configuration of a machine, for its install or, where it has none to run, for its disk.

    Raises RenderError. The way to the disk never depends on the site's templates: where one of them is broken the
    built-in one takes its place, as a machine that finds no way to its disk could install itself once more.
    """
    select = Select(order)
    first, *more = [(mac, _texts(select, mac, sandbox)) for mac in select.macs]
    files: dict[str, str] = {}
    for mac, texts in [first, *more]:
        files |= _by_mac(mac, texts)
    for uuid in select.uuids:
        files |= {f"pxelinux.cfg/{uuid}": first[1]["pxelinux"], f"grub.cfg-{uuid}": first[1]["grub"]}
    machine = order.machine
    return BootFilesDocument(
        machine=machine.name,
        macs=select.macs,
        address=machine.address,
        install_id=machine.install.id if machine.install and order.installs else None,
        boots="install" if order.installs else "disk",
        files=files,
        by_address={loader: first[1][loader] for loader in ("pxelinux", "grub")},
        kernel=tftp_path(select.image, select.image.kernel) if order.installs else None,
        initrd=[tftp_path(select.image, path) for path in select.image.initrd] if order.installs else [],
    )


def ipxe_path(mac: str) -> str:
    """The name of a machine's iPXE script among its boot files."""
    return f"ipxe/{dashed(mac)}"


def _texts(select: Select, mac: str, sandbox: Sandbox) -> Mapping[str, str]:
    if select.order.installs:
        context = select.install_context(mac)
        return {name: sandbox.write(f"boot/install.{name}.j2", context, name, MAX_TEXT) for name in LOADERS}
    context = select.context(mac)
    return {name: _way_to_disk(sandbox, name, context) for name in LOADERS}


def _way_to_disk(sandbox: Sandbox, loader: str, context: Mapping[str, object]) -> str:
    template = f"boot/disk.{loader}.j2"
    try:
        text = sandbox.write(template, context, loader, MAX_TEXT)
    except RenderError as error:
        sandbox.passed_over[template] = error.problem
        return sandbox.write(f"{BUILTIN}/{template}", context, loader, MAX_TEXT)
    sandbox.passed_over.pop(template, None)
    return text


def _by_mac(mac: str, texts: Mapping[str, str]) -> dict[str, str]:
    """PXELINUX's search order, Red Hat's GRUB's, and the file that our generic grub.cfg sources."""
    return {
        f"pxelinux.cfg/01-{dashed(mac)}": texts["pxelinux"],
        f"grub/grub.cfg-01-{dashed(mac)}": texts["grub"],
        f"grub.cfg-01-{dashed(mac)}": texts["grub"],
        f"grub/by-mac/{mac}.cfg": texts["grub"],
        ipxe_path(mac): texts["ipxe"],
    }
