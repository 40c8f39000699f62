"""`apply`: a whole fleet, checked in every respect before the first row is written."""

from dataclasses import dataclass, field
from pathlib import Path

from libs.bus import Bus
from libs.desired import MachineDocument
from services.inventory.declaring import Key, Plan, enact, plan
from services.inventory.desired import Catalogue, machine_document
from services.inventory.ledger import Ledger, Work
from services.inventory.publishing import catalogue
from services.inventory.rendering import check
from services.inventory.repository import fleet as stored_fleet
from services.inventory.repository.database import Session
from services.inventory.repository.fleet import SITE
from services.inventory.resources.faults import Fault, FleetError
from services.inventory.resources.fleet import Fleet, Machine


@dataclass
class Applied:
    """What a declaration did, or would do: resources as `machines/node01`."""

    dry_run: bool
    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def prepare(ledger: Ledger, bus: Bus, images: Path, fleet: Fleet, *, prune: bool) -> tuple[Plan, list[str]]:
    """Check all that can be wrong; returns what would be done, and warnings. Raises FleetError."""

    def look(session: Session) -> tuple[Plan, list[MachineDocument]]:
        found = plan(session, fleet, prune=prune)
        return found, _affected(session, found)

    found, documents = await ledger.read(look)
    faults = missing_files(found, images)
    if faults:
        raise FleetError(faults)
    verdict = await check(bus, documents)
    if verdict.errors:
        profiles = {document.name: document.profile or "" for document in documents}
        raise FleetError(
            [_unrenderable(found, name, profiles[name], str(errors[0])) for name, errors in verdict.errors.items()][
                :100
            ]
        )
    return found, verdict.warnings


def enact_planned(work: Work, fleet: Fleet, *, prune: bool) -> Plan:
    """Do it: planned once more inside the transaction that writes, as the fleet may have changed meanwhile."""
    found = plan(work.session, fleet, prune=prune)
    enact(work, found)
    return found


def applied(found: Plan, warnings: list[str], *, dry_run: bool) -> Applied:
    """The answer to the operator."""
    return Applied(
        dry_run=dry_run,
        created=[_path(key) for key in found.created],
        changed=[_path(key) for key in found.changed],
        unchanged=[_path(key) for key in found.unchanged],
        removed=[_path(key) for key in found.removed],
        warnings=warnings,
    )


def _path(key: Key) -> str:
    kind, name = key
    return SITE if kind == SITE else f"{kind}/{name}"


def missing_files(found: Plan, images: Path) -> list[Fault]:
    """The files that declared images name and that are not there."""
    faults = []
    for index, image in enumerate(found.fleet.images):
        if ("images", image.name) not in found.touched:
            continue
        wanted = {"kernel": image.kernel, **{f"initrd[{n}]": path for n, path in enumerate(image.initrd)}}
        for name, path in wanted.items():
            file = images / image.name / path
            if not file.is_file():
                remedy = "copy the installation tree there"
                faults.append(Fault(f"images[{index}].{name}", f"there is no file {file}", remedy))
    return faults


def _affected(session: Session, found: Plan) -> list[MachineDocument]:
    """The documents, as they would be, of the machines whose answer files may differ."""
    touched = found.touched
    profiles = {name for kind, name in touched if kind == "profiles"}
    images = {name for kind, name in touched if kind == "images"}
    made_of = _overlaid(catalogue(session), found)
    profiles |= {
        name for name, profile in made_of.profiles.items() if profile.image in images or (SITE, SITE) in touched
    }
    gone = {name for kind, name in found.removed if kind == "machines"}
    stored = stored_fleet.machines(session, set(stored_fleet.of_profiles(session, profiles)) - gone)
    machines: dict[str, Machine] = {name: known.resource for name, known in stored.items()}
    machines |= {m.name: m for m in found.fleet.machines if ("machines", m.name) in touched or m.profile in profiles}
    return [machine_document(machine, made_of, None) for machine in machines.values() if machine.profile]


def _overlaid(standing: Catalogue, found: Plan) -> Catalogue:
    fleet = found.fleet
    return Catalogue(
        site=fleet.site or standing.site,
        images={**standing.images, **{image.name: image for image in fleet.images}},
        profiles={**standing.profiles, **{profile.name: profile for profile in fleet.profiles}},
    )


def _unrenderable(found: Plan, machine: str, profile: str, message: str) -> Fault:
    index = found.index("profiles", profile)
    number = found.index("machines", machine)
    if index is not None:
        return Fault(f"profiles[{index}].answers", f"for machine {machine!r}: {message}")
    return Fault(
        f"machines[{number}].profile" if number is not None else "profiles", f"for machine {machine!r}: {message}"
    )
