"""How each kind of resource looks in a table: its columns, and the row that a document gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from services.cli.output import ago, state_text

Document = Mapping[str, Any]
Row = Sequence[str | Text]


@dataclass(frozen=True)
class Look:
    """The columns and the cells of one document."""

    columns: tuple[str, ...]
    row: Callable[[Document], Row]


def _list(values: object) -> str:
    if isinstance(values, Mapping):
        return " ".join(f"{key}={value}" for key, value in values.items())
    return ", ".join(str(value) for value in values) if isinstance(values, list) else str(values or "")


def _machine(machine: Document) -> Row:
    status = machine["status"]
    return (
        machine["name"],
        state_text(status["state"]),
        ago(status["since"]),
        machine.get("address") or "",
        _list(machine["macs"]),
        machine.get("profile") or "",
        _list(machine.get("tags")),
        _remark(status),
    )


def _install(install: Document) -> Row:
    return (
        install["id"],
        install["machine"],
        state_text(install["state"]),
        ago(install["since"]),
        install["profile"],
        ago(install["ordered_at"]),
        install["ordered_by"],
        _remark(install),
    )


def _remark(status: Document) -> str:
    """Why it stands where it does, or how far the installer is."""
    percent = f"{status['percent']:.0f} %" if status.get("percent") is not None else ""
    return str(status.get("reason") or " ".join(part for part in (percent, status.get("message") or "") if part))


def _subnet(subnet: Document) -> Row:
    where = subnet.get("interface") or "relayed"
    pool = _list(subnet.get("pool"))
    return subnet["name"], subnet["cidr"], where, pool, subnet["lease_time"], subnet["mode"], subnet["unknown"]


def _image(image: Document) -> Row:
    return image["name"], image["family"], image["arch"], image["kernel"], _list(image.get("initrd"))


def _profile(profile: Document) -> Row:
    options, variables = _list(profile.get("kernel_options")), _list(profile.get("variables"))
    return profile["name"], profile["image"], profile.get("answers") or "", options, variables


def _webhook(webhook: Document) -> Row:
    return webhook["name"], webhook["format"], webhook["url"], _list(webhook["events"])


LOOKS: Mapping[str, Look] = {
    "machines": Look(("name", "state", "for", "address", "macs", "profile", "tags", ""), _machine),
    "installs": Look(("id", "machine", "state", "for", "profile", "ordered", "by", ""), _install),
    "subnets": Look(("name", "cidr", "interface", "pool", "lease", "mode", "unknown"), _subnet),
    "images": Look(("name", "family", "arch", "kernel", "initrd"), _image),
    "profiles": Look(("name", "image", "answers", "kernel options", "variables"), _profile),
    "webhooks": Look(("name", "format", "url", "events"), _webhook),
}
