"""The Debian installer itself, as a DHCP client: it gets its address and its name, and asks nobody anything."""

from pathlib import Path
from typing import Any

import pytest

from tests.firmware import packages
from tests.firmware.deployment import Deployment, fleet, wait
from tests.firmware.lab import SERVER, Lab
from tests.firmware.machine import Firmware, Machine
from tests.support import needs

pytestmark = [pytest.mark.firmware, pytest.mark.timeout(400)]

MAC = "52:54:00:00:00:2a"
ANSWERS = "no-such-answers.cfg"
SECONDS = 240.0  # under emulation; about 60 when nothing else runs


def test_it_obtains_an_address_and_goes_on_without_a_question(tmp_path: Path) -> None:
    """It would stop without a name server (option 6), a name (12) or a domain (15); it clears the broadcast flag."""
    packages.require()
    folder = needs.file(str(packages.INSTALLER / "linux"), packages.INSTALLER_PACKAGE).parent
    options = f"auto=true priority=critical preseed/url=tftp://{SERVER}/{ANSWERS} console=ttyS0 DEBIAN_FRONTEND=text"
    kernel = ("-m", "1024", "-kernel", str(folder / "linux"), "-initrd", str(folder / "initrd.gz"), "-append", options)
    with Lab(tmp_path) as lab:
        deployment = Deployment(lab)
        deployment.start()
        deployment.apply(fleet([], [{"name": "node42", "macs": [MAC]}], []))
        machine = Machine(lab, "node42", MAC, Firmware.BIOS, kernel)
        machine.power_on()

        def told(kind: str) -> list[Any]:
            found = deployment.get("/v1/events?machine=node42")["items"]
            return [event["data"] for event in found if event["type"] == kind]

        wait(lambda: ANSWERS in str(told("transfer.failed")), "it goes on to its answers", SECONDS)
        assert len(told("lease.offered")) == 1, "it asked twice"
        (granted,) = told("lease.acknowledged")
        assert (granted["ip"], granted["client"], granted["renewed"]) == ("10.77.0.100", "other", False)
