"""A machine, its subnet, its order: what most tests begin with."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from libs.desired import ImageDocument, InstallDocument, MachineDocument, SubnetDocument
from services.kickstart.facts import Order
from services.kickstart.sandbox import Sandbox
from services.kickstart.sources import Sources

TOKEN = "tok-0123456789abcdefABCDEF"
ROCKY = ImageDocument(
    name="rocky-9", family="redhat", kernel="images/pxeboot/vmlinuz", initrd=["images/pxeboot/initrd.img"]
)
DEBIAN = ImageDocument(name="debian-12", family="debian", kernel="linux", initrd=["initrd.gz"])
RACK = SubnetDocument.model_validate(
    {"name": "rack1", "cidr": "10.77.0.0/24", "gateway": "10.77.0.1", "dns": ["10.77.0.53"], "domain": "lab.example"}
)
LOOPBACK = SubnetDocument.model_validate({"name": "loop", "cidr": "127.0.0.0/8", "domain": "lab.example"})
USERS = [{"name": "ada", "password_hash": "$6$salt$hash", "sudo": True, "ssh_keys": ["ssh-ed25519 AAAA ada's key"]}]


def install(id: str = "i1", token: str = TOKEN) -> InstallDocument:
    """An install that was ordered once."""
    return InstallDocument(id=id, token=token, ordered_at=datetime(2026, 1, 1, tzinfo=UTC))


def machine(**changes: Any) -> MachineDocument:
    """node01, which is to install Rocky."""
    values: dict[str, Any] = {
        "name": "node01",
        "macs": ["52:54:00:00:00:01"],
        "netboot": "install",
        "profile": "web",
        "image": ROCKY,
        "kernel_options": ["console=ttyS0,115200"],
        "variables": {"disk": "vda"},
        "install": install(),
    }
    return MachineDocument(**(values | changes))


def order(**changes: Any) -> Order:
    """The order for `machine(**changes)`, in the rack."""
    return Order(machine=machine(**changes), subnet=RACK, base_url="http://10.77.0.1:8081")


def sandbox(site: Path | None = None) -> Sandbox:
    """Templates as they are on the disk: the site's, if there is a folder, and the built-in ones."""
    return Sandbox(Sources(site, keep_good=False))
