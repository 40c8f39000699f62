"""Where a machine is, who asks from an address, and which address of ours a machine is told."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from libs.desired import MachineDocument, SubnetDocument
from libs.service import ServiceError
from libs.settings import HostPort, Settings
from services.kickstart.fleet import Fleet
from services.kickstart.installs import Installs
from services.kickstart.orders import Orders
from services.kickstart.sandbox import RenderError
from services.kickstart.store import Store
from tests.services.kickstart.examples import RACK, ROCKY, TOKEN, machine
from tests.support.running import settings_in

MAC = "52:54:00:00:00:01"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(Installs(Store(tmp_path / "installs.db", 0)))


def value(document: MachineDocument | SubnetDocument) -> dict[str, Any]:
    """As the bus brings it."""
    return document.model_dump(mode="json")


def lease(ip: str, subnet: str, expires: str = "2030-01-01T00:00:00Z", mac: str = MAC) -> dict[str, Any]:
    return {"ip": ip, "mac": mac, "subnet": subnet, "expires": expires}


def other(name: str = "rack2", cidr: str = "10.78.0.0/24") -> dict[str, Any]:
    return {"name": name, "cidr": cidr}


def declare(fleet: Fleet, document: MachineDocument, *subnets: Mapping[str, Any]) -> MachineDocument:
    fleet.machine_changed(document.name, value(document))
    for subnet in subnets:
        fleet.subnet_changed(subnet["name"], dict(subnet))
    return document


def subnet_of(fleet: Fleet, document: MachineDocument) -> str | None:
    found = fleet.subnet_of(document)
    return found.name if found else None


def test_a_machine_is_where_its_address_is(fleet: Fleet) -> None:
    node = declare(fleet, machine(address="10.78.0.9"), value(RACK), other())
    assert subnet_of(fleet, node) == "rack2"


def test_a_machine_is_where_its_newest_lease_is(fleet: Fleet) -> None:
    node = declare(fleet, machine(macs=["52:54:00:00:00:09", MAC]), value(RACK), other())
    assert subnet_of(fleet, node) is None
    fleet.lease_changed("10.77.0.5", lease("10.77.0.5", "rack1"))
    assert subnet_of(fleet, node) == "rack1"
    fleet.lease_changed("10.78.0.5", lease("10.78.0.5", "rack2", "2031-01-01T00:00:00Z"))
    assert subnet_of(fleet, node) == "rack2"
    fleet.lease_changed("10.77.0.5", lease("10.77.0.5", "rack1", "2032-01-01T00:00:00Z"))
    assert subnet_of(fleet, node) == "rack1"
    fleet.lease_changed("10.77.0.5", None)
    assert subnet_of(fleet, node) == "rack2"
    fleet.lease_changed("10.78.0.5", lease("10.78.0.5", "rack2", mac="52:54:00:00:00:77"))
    assert subnet_of(fleet, node) is None


def test_the_only_subnet_is_where_everybody_is(fleet: Fleet) -> None:
    node = declare(fleet, machine(), value(RACK))
    assert subnet_of(fleet, node) == "rack1"
    fleet.subnet_changed("rack1", None)
    assert subnet_of(fleet, node) is None


def test_changes_are_told_for_the_machines_that_they_concern(fleet: Fleet) -> None:
    told: list[str] = []
    declare(fleet, machine(), value(RACK), other())
    declare(fleet, machine(name="node02", macs=["52:54:00:00:00:02"]))
    fleet.on_change = told.append
    fleet.lease_changed("10.77.0.5", lease("10.77.0.5", "rack1"))
    assert told == ["node01"]
    fleet.lease_changed("10.77.0.5", lease("10.77.0.5", "rack1", "2031-01-01T00:00:00Z"))
    fleet.lease_changed("10.77.0.6", lease("10.77.0.6", "rack1", mac="52:54:00:00:00:99"))
    assert told == ["node01"], "a renewal and a stranger's lease change no boot files"
    fleet.subnet_changed("rack2", None)
    assert sorted(told[1:]) == ["node01", "node02"]


def test_a_client_is_known_by_lease_then_by_address(fleet: Fleet) -> None:
    declare(fleet, machine(address="10.77.0.11"), value(RACK))
    assert fleet.client("10.77.0.11")[0] == MAC
    assert fleet.client("10.77.0.99") == (None, None)
    fleet.lease_changed("10.77.0.99", lease("10.77.0.99", "rack1"))
    mac, found = fleet.client("10.77.0.99")
    assert (mac, found.name if found else None) == (MAC, "node01")
    fleet.lease_changed("10.77.0.98", lease("10.77.0.98", "rack1", mac="52:54:00:00:00:98"))
    assert fleet.client("10.77.0.98") == ("52:54:00:00:00:98", None)
    for nobody in ("::1", "", "x"):
        assert fleet.client(nobody) == (None, None)


def test_a_machine_that_changes_leaves_nothing_behind(fleet: Fleet) -> None:
    declare(fleet, machine(address="10.77.0.11"))
    declare(fleet, machine(address="10.77.0.12", macs=["52:54:00:00:00:02"]))
    assert fleet.by_mac(MAC) is None
    assert fleet.client("10.77.0.11") == (None, None)
    fleet.machine_changed("node01", None)
    assert (fleet.names(), fleet.by_mac("52:54:00:00:00:02")) == ([], None)
    assert fleet.image("rocky-9") == ROCKY


def test_a_document_that_cannot_be_read_changes_nothing(fleet: Fleet) -> None:
    declare(fleet, machine())
    for wrong in ({"name": "node01"}, value(machine()) | {"macs": ["x"]}, value(machine()) | {"netboot": "maybe"}):
        with pytest.raises(ValueError, match=r"\S"):
            fleet.machine_changed("node01", wrong)
    assert fleet.by_mac(MAC) == machine()


def test_an_install_that_is_done_is_over_whatever_the_document_says(fleet: Fleet) -> None:
    declare(fleet, machine())
    fleet.installs.give(fleet.installs.running(TOKEN), "done")
    found = fleet.machine("node01")
    assert found
    assert (found.netboot, found.install) == ("disk", None)


# --- the address of ours ------------------------------------------------------------------------------------


def orders(fleet: Fleet, settings: Settings) -> Orders:
    made = Orders(settings, fleet)
    made.listening = HostPort(made.listening.host, 8081)
    return made


def test_the_address_is_the_one_that_the_subnet_reaches(fleet: Fleet, tmp_path: Path) -> None:
    made = orders(fleet, settings_in(tmp_path, kickstart__listen="0.0.0.0:0"))
    node = declare(fleet, machine(address="127.7.0.9"), other("loop", "127.7.0.0/24"))
    assert made.of(node).base_url == "http://127.0.0.1:8081"


def test_the_address_listened_on_is_the_only_one(fleet: Fleet, tmp_path: Path) -> None:
    made = orders(fleet, settings_in(tmp_path, kickstart__listen="127.0.0.9:0"))
    assert made.of(declare(fleet, machine(), value(RACK))).base_url == "http://127.0.0.9:8081"


def test_the_public_url_wins(fleet: Fleet, tmp_path: Path) -> None:
    made = orders(fleet, settings_in(tmp_path, kickstart__public_url="http://boot.example/kf/"))
    assert made.of(machine()).base_url == "http://boot.example/kf"


@pytest.mark.parametrize(
    "url", ["boot.example", "ftp://x", "http://", "http://x/a b", "http://x/?q", "http://x\nLABEL"]
)
def test_a_public_url_that_no_machine_could_use(fleet: Fleet, tmp_path: Path, url: str) -> None:
    with pytest.raises(ServiceError, match=r"kickstart\.public_url: .* is not http://host"):
        orders(fleet, settings_in(tmp_path, kickstart__public_url=url))


def test_without_a_subnet_no_address_is_guessed(fleet: Fleet, tmp_path: Path) -> None:
    made = orders(fleet, settings_in(tmp_path, kickstart__listen="0.0.0.0:0"))
    with pytest.raises(RenderError, match=r"no subnet of the machine is known; set kickstart\.public_url"):
        made.of(machine())
    assert made.preview(machine(), [], install=True).base_url == "http://0.0.0.0:8081"


def test_a_preview_is_as_if_an_install_were_ordered(fleet: Fleet, tmp_path: Path) -> None:
    made = orders(fleet, settings_in(tmp_path))
    disk = machine(netboot="disk", install=None, address="10.79.0.4")
    net = SubnetDocument.model_validate(other("new", "10.79.0.0/24"))
    shown = made.preview(disk, [net], install=True)
    assert (shown.installs, shown.subnet) == (True, net)
    assert not made.preview(disk, [], install=False).installs
    assert not made.preview(disk.model_copy(update={"image": None}), [], install=True).installs
    assert made.preview(machine(), [], install=True).machine == machine()
    assert IPv4Address("10.79.0.4") == shown.machine.address
