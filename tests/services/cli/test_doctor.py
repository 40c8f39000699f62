"""The doctor's checks against a host that the test arranges."""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, SOCK_STREAM, socket

from services.cli.doctor import deployment, files, host, ports
from services.cli.doctor.finding import Finding
from services.cli.supervisor.readiness import Readiness
from tests.support.running import nats_server, settings_in


def _levels(findings: Iterable[Finding]) -> list[str]:
    found = list(findings)
    assert all(bool(finding.remedy) == (finding.level != "ok") for finding in found), "a remedy where one is needed"
    return [finding.level for finding in found]


def test_a_port_is_free_or_ours_or_somebody_elses(tmp_path: Path) -> None:
    with closing(socket(AF_INET, SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        settings = settings_in(tmp_path, dhcp__port=port)
        assert _levels(ports.ports(settings, set()))[0] == "fail"
        first = next(iter(ports.ports(settings, set())))
        assert f"udp 127.0.0.1:{port} (`dhcp.port`) is used by another program" in first.message
        assert f"sport = :{port}" in first.remedy
        assert set(_levels(ports.ports(settings, {"dhcp"}))) == {"ok"}
    assert set(_levels(ports.ports(settings, set()))) == {"ok"}


def test_without_a_packet_socket_machines_are_answered_by_broadcast(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, dhcp__port=67)
    may = Readiness(ready=True, bus="connected", said={"packet socket": ""})
    may_not = Readiness(ready=True, bus="connected", said={"packet socket": "without CAP_NET_RAW"})
    assert _levels(ports.raw_socket(settings, may)) == ["ok"]
    assert _levels(ports.raw_socket(settings, may_not)) == ["warn"]


def test_an_address_that_the_host_does_not_have(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, tftp__listen="192.0.2.1:0")
    wrong = [finding for finding in ports.ports(settings, set()) if finding.level == "fail"]
    assert len(wrong) == 1
    assert "`tftp.listen`" in wrong[0].message


def test_boot_loaders_are_found_where_tftp_takes_them_from(tmp_path: Path) -> None:
    folder = tmp_path / "loaders"
    folder.mkdir()
    names = [name for chain, _ in files.FIRMWARE.values() for name in chain]
    for name in names:
        (folder / name).write_bytes(b"x")
    settings = settings_in(tmp_path, tftp__loaders=str(folder))
    assert _levels(files.loaders(settings)) == ["ok", "ok"]
    assert files.find_loader(settings, names[0]) == folder / names[0]
    assert files.find_loader(settings, "nothing.0") is None


def test_images_need_their_files(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    declared = [{"name": "one", "kernel": "vmlinuz", "initrd": ["initrd.img"]}]
    (finding,) = files.images(settings, declared)
    assert finding.level == "fail"
    assert "vmlinuz, initrd.img not found" in finding.message
    folder = settings.data / "images" / "one"
    folder.mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (folder / name).write_bytes(b"x")
    assert _levels(files.images(settings, declared)) == ["ok"]


def test_a_token_that_others_can_read_is_a_failure(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert _levels(host.token(settings)) == []
    settings.data.mkdir()
    token = settings.data / "admin.token"
    token.write_text("secret")
    token.chmod(0o600)
    assert _levels(host.token(settings)) == ["ok"]
    token.chmod(0o644)
    assert _levels(host.token(settings)) == ["fail"]


def test_the_data_folder_may_not_be_there_yet(tmp_path: Path) -> None:
    found = list(host.data_folder(settings_in(tmp_path / "deep" / "down")))
    assert found[0].message.endswith(f"will be made in {tmp_path}")
    assert {finding.check for finding in found} == {"data", "disk"}


def test_the_clock_is_read() -> None:
    (finding,) = host.clock(settings_in(Path("/nonexistent")))
    assert finding.level in ("ok", "warn")


def test_services_are_judged_by_what_they_say() -> None:
    answers = {
        "dhcp": None,
        "tftp": Readiness(ready=False, missing=("loaders: none",)),
        "kickstart": Readiness(ready=True, bus="away"),
        "inventory": Readiness(ready=True, bus="connected"),
    }
    assert _levels(deployment.services(answers)) == ["warn", "fail", "fail", "ok"]


async def test_the_bus_is_known_by_its_greeting(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert list(deployment.bus(settings)) == []
    async with nats_server(settings):
        assert _levels(await asyncio.to_thread(lambda: list(deployment.bus(settings)))) == ["ok"]
    with closing(socket(AF_INET, SOCK_STREAM)) as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
        assert _levels(deployment.bus(settings_in(tmp_path, bus__url=url))) == ["fail"]


def test_subnets_need_an_interface_and_an_address() -> None:
    subnet = {"name": "a", "cidr": "127.0.0.0/8"}
    assert _levels(deployment.subnets([])) == ["warn"]
    assert _levels(deployment.subnets([subnet, {**subnet, "interface": "lo"}])) == ["ok", "ok"]
    assert _levels(deployment.subnets([{**subnet, "interface": "nic99"}])) == ["fail"]
    assert _levels(deployment.subnets([{"name": "b", "cidr": "198.51.100.0/24", "interface": "lo"}])) == ["fail"]


def test_rivals_are_told_once_each() -> None:
    event = {"data": {"server": "10.0.0.66", "subnet": "rack1"}}
    assert _levels(deployment.rivals([])) == ["ok"]
    assert _levels(deployment.rivals([event, event])) == ["warn"]
