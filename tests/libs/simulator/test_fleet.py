import pytest

from libs.mac import MacError
from libs.simulator.fleet import mixed, simulate
from libs.simulator.options import Firmware, MachineSpec, Misbehaviour, Target, Timing
from libs.simulator.stages import Outcome, Stage
from tests.libs.simulator.rig import RELAY, rig
from tests.libs.simulator.small_dhcp import HOST


async def test_many_machines_at_once() -> None:
    machines = mixed(30, {Firmware.BIOS: 2, Firmware.UEFI: 1})
    async with rig() as deployment:
        for machine in machines:
            dashed = machine.mac.replace(":", "-")
            install = f"LABEL i\nKERNEL /images/vmlinuz\nINITRD /images/initrd.img\nAPPEND {deployment.arguments}\n"
            deployment.tftp.files[f"pxelinux.cfg/01-{dashed}"] = f"DEFAULT i\n{install}".encode()
            install = f"linux /images/vmlinuz {deployment.arguments}\ninitrd /images/initrd.img\nboot\n"
            deployment.tftp.files["grub/grub.cfg"] = install.encode()
        stop = Misbehaviour(stop_at=Stage.INSTALLED)
        specs = [MachineSpec(one.mac, firmware=one.firmware, misbehaviour=stop) for one in machines]
        results = await deployment.power_on(*specs, pace=1)
    assert [result.mac for result in results] == [machine.mac for machine in machines]
    assert all(result.ok for result in results), [result.reason for result in results if not result.ok]
    assert len({result.address for result in results}) == len(machines)
    for result in results:
        seen = [one.stage for one in deployment.progress if one.mac == result.mac]
        assert seen == list(result.stages) == list(Stage)[:-1]


def test_firmware_is_mixed_by_its_shares() -> None:
    machines = mixed(7, {Firmware.BIOS: 2, Firmware.UEFI: 1, Firmware.IPXE: 0}, first="52:54:00:77:00:fe")
    assert [one.firmware for one in machines] == [Firmware.BIOS, Firmware.BIOS, Firmware.UEFI] * 2 + [Firmware.BIOS]
    assert [one.mac for one in machines[:3]] == ["52:54:00:77:00:fe", "52:54:00:77:00:ff", "52:54:00:77:01:00"]
    assert len({one.smbios for one in machines}) == 7


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="a share above 0"):
        mixed(1, {Firmware.BIOS: 0})
    with pytest.raises(MacError):
        MachineSpec("nonsense")
    with pytest.raises(ValueError, match="loss"):
        Misbehaviour(loss=1)
    with pytest.raises(ValueError, match="pace"):
        Timing(pace=0)


async def test_a_mac_twice_is_refused() -> None:
    machine = MachineSpec("52:54:00:77:00:01")
    with pytest.raises(ValueError, match="a hardware address of its own"):
        await simulate(Target(HOST, RELAY), [machine, machine], report=lambda _: None)


async def test_a_machine_that_takes_too_long_has_failed() -> None:
    async with rig() as deployment:
        deployment.dhcp.ignored = 10**6
        (result,) = await deployment.power_on(MachineSpec("52:54:00:77:00:01"), limit=0.2, pace=1)
    assert (result.outcome, list(result.stages)) == (Outcome.FAILED, [Stage.POWERED])
    assert result.reason == "took longer than 0.2 seconds; reached powered"
