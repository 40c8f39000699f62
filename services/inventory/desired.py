"""What each machine shall get: declarations and installs become the documents that dhcp and kickstart follow. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.desired import ImageDocument, InstallDocument, MachineDocument, SubnetDocument
from services.inventory.repository.installs import Install
from services.inventory.resources.fleet import Image, Machine, Profile, Site, Subnet
from services.inventory.resources.ranges import without


@dataclass(frozen=True)
class Catalogue:
    """What machines are made of."""

    site: Site = field(default_factory=Site)
    images: Mapping[str, Image] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)


def machine_document(machine: Machine, catalogue: Catalogue, install: Install | None) -> MachineDocument:
    """The document of a machine, with `install` as the latest of its installs, if it has any.

    Where several say something, the nearest to the machine wins: site, image, profile, machine. Kernel options add
    up in that order, so that a nearer one comes later and the kernel takes it.
    """
    running = install if install and install.active else None
    profile = catalogue.profiles.get((running.profile if running else machine.profile) or "")
    image = catalogue.images.get(profile.image) if profile else None
    levels: list[Site | Image | Profile | Machine] = [catalogue.site, machine]
    levels[1:1] = [level for level in (image, profile) if level]
    ours = running if running and running.token and running.life.boots == "install" else None
    return MachineDocument(
        name=machine.name,
        macs=list(machine.macs),
        uuid=machine.uuid,
        address=machine.address,
        netboot="install" if ours else "disk",
        boot_loader=machine.boot_loader if machine.boot_loader != "auto" or not profile else profile.boot_loader,
        profile=profile.name if profile else None,
        answers=profile.answers if profile else None,
        image=image_document(image) if image else None,
        kernel_options=[option for level in levels for option in level.kernel_options],
        variables={name: value for level in levels for name, value in level.variables.items()},
        tags=dict(machine.tags),
        install=InstallDocument(id=ours.id, token=ours.token or "", ordered_at=ours.ordered_at) if ours else None,
    )


def image_document(image: Image) -> ImageDocument:
    """The document of an image."""
    return ImageDocument(
        name=image.name,
        family=image.family,
        arch=image.arch,
        version=image.version,
        kernel=image.kernel,
        initrd=list(image.initrd),
    )


def subnet_document(subnet: Subnet) -> SubnetDocument:
    """The document of a subnet."""
    return SubnetDocument(
        name=subnet.name,
        cidr=subnet.cidr,
        interface=subnet.interface,
        pools=without(subnet.pool, subnet.exclude),
        gateway=subnet.gateway,
        dns=list(subnet.dns),
        domain=subnet.domain,
        lease_seconds=subnet.lease_time,
        mode=subnet.mode,
        unknown=subnet.unknown,
        boot_loader=subnet.boot_loader,
        next_server=subnet.next_server,
    )
