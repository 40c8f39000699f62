"""Fleets for the tests, each test's own: names and addresses do not meet."""

from typing import Any

import yaml

from services.cli.demo import stock
from tests.support.deployment import Up


def stocked(deployment: Up) -> None:
    """The image's files, and loaders where the host has none."""
    stock.make_image(deployment.settings)
    stock.stand_in_loaders(deployment.settings)


def fleet(number: int, machines: int = 1) -> dict[str, Any]:
    """A subnet 127.<number>.0.0/16 and machines `m<number>-1`… in it."""
    return {
        "subnets": [
            {
                "name": f"net{number}",
                "cidr": f"127.{number}.0.0/16",
                "pool": f"127.{number}.128.0-127.{number}.200.0",
                "gateway": f"127.{number}.0.1",
                "dns": [f"127.{number}.0.1"],
            }
        ],
        "images": [
            {
                "name": stock.IMAGE,
                "family": "redhat",
                "kernel": "images/pxeboot/vmlinuz",
                "initrd": ["images/pxeboot/initrd.img"],
            }
        ],
        "profiles": [{"name": f"web{number}", "image": stock.IMAGE, "answers": "redhat.ks.j2"}],
        "machines": [machine(number, index) for index in range(1, machines + 1)],
    }


def machine(number: int, index: int) -> dict[str, Any]:
    """One of them."""
    return {
        "name": f"m{number}-{index}",
        "macs": [f"52:54:00:{number:02x}:00:{index:02x}"],
        "profile": f"web{number}",
        "tags": {"set": str(number)},
    }


def as_yaml(declared: dict[str, Any]) -> str:
    """As an operator writes it."""
    return yaml.safe_dump(declared, sort_keys=False)
