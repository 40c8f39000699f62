"""Cross checks: what is wrong between declarations that are each right in themselves. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from services.inventory.resources.faults import Fault, nearest
from services.inventory.resources.fleet import KINDS, Fleet, Machine, Profile, Subnet
from services.inventory.resources.ranges import overlap


@dataclass
class Standing:
    """What stands in the database beside the declarations that are checked, without what they replace or remove.

    `machines` needs only those whose hardware addresses or addresses could collide with the declared ones, and
    all that use a profile or a subnet that is declared or removed.
    """

    subnets: dict[str, Subnet] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    profiles: dict[str, Profile] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)


def check(fleet: Fleet, standing: Standing) -> list[Fault]:
    """Every fault of `fleet` as it would stand beside `standing`."""
    subnets = {**standing.subnets, **{subnet.name: subnet for subnet in fleet.subnets}}
    images = standing.images | {image.name for image in fleet.images}
    profiles = set(standing.profiles) | {profile.name for profile in fleet.profiles}
    return [
        *_names_twice(fleet),
        *_subnets(fleet, standing),
        *_profiles(fleet, standing, images),
        *_machines(fleet, profiles, subnets),
        *_machines_left(standing, profiles, subnets),
        *_twice(fleet, standing),
    ]


def _names_twice(fleet: Fleet) -> Iterator[Fault]:
    for kind in KINDS:
        first: dict[str, int] = {}
        for index, resource in enumerate(fleet.of(kind)):
            if resource.name in first:
                where = f"{kind}[{first[resource.name]}]"
                yield Fault(
                    f"{kind}[{index}].name", f"{resource.name!r} is declared twice, also in {where}", "drop one"
                )
            first.setdefault(resource.name, index)


def _subnets(fleet: Fleet, standing: Standing) -> Iterator[Fault]:
    others = {**standing.subnets, **{subnet.name: subnet for subnet in fleet.subnets}}
    for index, subnet in enumerate(fleet.subnets):
        path = f"subnets[{index}]"
        if subnet.gateway and subnet.gateway not in subnet.cidr:
            yield Fault(f"{path}.gateway", f"{subnet.gateway} is outside {subnet.cidr}")
        for number, part in enumerate(subnet.pool):
            if part.first not in subnet.cidr or part.last not in subnet.cidr:
                where = f"{path}.pool[{number}]" if len(subnet.pool) > 1 else f"{path}.pool"
                yield Fault(where, f"{part.first}-{part.last} is outside {subnet.cidr}")
        yield from _exclusions(path, subnet)
        if subnet.mode == "proxy" and subnet.pool:
            yield Fault(f"{path}.pool", "with mode: proxy another server gives the addresses", "leave the pool out")
        for other in others.values():
            if other.name != subnet.name and other.cidr.overlaps(subnet.cidr):
                yield Fault(f"{path}.cidr", f"{subnet.cidr} overlaps subnet {other.name!r} ({other.cidr})")


def _exclusions(path: str, subnet: Subnet) -> Iterator[Fault]:
    for number, hole in enumerate(subnet.exclude):
        if not any(overlap(hole, part) for part in subnet.pool):
            where = f"{path}.exclude[{number}]" if len(subnet.exclude) > 1 else f"{path}.exclude"
            yield Fault(where, f"{hole.first}-{hole.last} is outside the pool", "nothing else needs to be excluded")


def _profiles(fleet: Fleet, standing: Standing, images: set[str]) -> Iterator[Fault]:
    for index, profile in enumerate(fleet.profiles):
        if profile.image not in images:
            yield Fault(
                f"profiles[{index}].image", f"there is no image {profile.image!r}", nearest(profile.image, images)
            )
    for profile in standing.profiles.values():
        if profile.image not in images:
            yield Fault(
                "images", f"profile {profile.name!r} uses the image {profile.image!r}", "change the profile first"
            )


def _machines(fleet: Fleet, profiles: set[str], subnets: Mapping[str, Subnet]) -> Iterator[Fault]:
    for index, machine in enumerate(fleet.machines):
        path = f"machines[{index}]"
        if machine.profile and machine.profile not in profiles:
            yield Fault(
                f"{path}.profile", f"there is no profile {machine.profile!r}", nearest(machine.profile, profiles)
            )
        if problem := _misplaced(machine.address, subnets.values()):
            yield Fault(f"{path}.address", problem, "choose an address inside a declared subnet")


def _machines_left(standing: Standing, profiles: set[str], subnets: Mapping[str, Subnet]) -> Iterator[Fault]:
    for machine in standing.machines.values():
        if machine.profile and machine.profile not in profiles:
            yield Fault("profiles", f"machine {machine.name!r} uses the profile {machine.profile!r}", "change it first")
        if problem := _misplaced(machine.address, subnets.values()):
            yield Fault(
                "subnets", f"the address of machine {machine.name!r} would be wrong: {problem}", "change it first"
            )


def _misplaced(address: IPv4Address | None, subnets: Iterable[Subnet]) -> str | None:
    if address is None:
        return None
    subnets = list(subnets)
    home = next((subnet for subnet in subnets if address in subnet.cidr), None)
    if home is None:
        known = ", ".join(f"{subnet.name} {subnet.cidr}" for subnet in subnets[:8])
        return f"{address} is in no subnet ({known or 'none is declared'})"
    if home.cidr.prefixlen < 31 and address in (home.cidr.network_address, home.cidr.broadcast_address):
        return f"{address} is the network's or the broadcast address of subnet {home.name!r}"
    if address == home.gateway:
        return f"{address} is the gateway of subnet {home.name!r}"
    return None


def _twice(fleet: Fleet, standing: Standing) -> Iterator[Fault]:
    macs = {mac: machine.name for machine in standing.machines.values() for mac in machine.macs}
    addresses = {machine.address: machine.name for machine in standing.machines.values() if machine.address}
    for index, machine in enumerate(fleet.machines):
        for number, mac in enumerate(machine.macs):
            if mac in macs:
                path = f"machines[{index}].macs[{number}]"
                yield Fault(path, f"{mac} is already {macs[mac]!r}'s", "a hardware address belongs to one machine")
            macs.setdefault(mac, machine.name)
        if machine.address in addresses:
            path = f"machines[{index}].address"
            yield Fault(path, f"{machine.address} is already {addresses[machine.address]!r}'s", "choose another")
        if machine.address:
            addresses.setdefault(machine.address, machine.name)
