from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from libs.simulator.options import Abort, Firmware, GrubBuild, MachineSpec, Misbehaviour
from libs.simulator.stages import Outcome, Progress, Stage
from libs.wire.dhcp_options import Option
from libs.wire.pxe import client_of
from tests.libs.simulator.rig import DASHED, MAC, Rig, rig

BIOS = MachineSpec(MAC, "node01", tries=1)
UEFI = replace(BIOS, firmware=Firmware.UEFI)
IPXE = replace(BIOS, firmware=Firmware.IPXE)
STAGES = list(Stage)
PXELINUX = "pxelinux.cfg/01-" + DASHED
BY_MAC = f"grub/by-mac/{MAC}.cfg"


def pxelinux_installs(deployment: Rig) -> None:
    """PXELINUX installs until the callback came, then boots the disk."""
    install = f"DEFAULT i\nLABEL i\nKERNEL /images/vmlinuz\nINITRD /images/initrd.img\nAPPEND {deployment.arguments}\n"
    deployment.tftp.files[PXELINUX] = install.encode()

    def done(progress: Progress) -> None:
        if progress.stage is Stage.INSTALLED:
            deployment.tftp.files[PXELINUX] = b"DEFAULT d\nLABEL d\nLOCALBOOT -1\n"

    deployment.on_progress = done


def grub_installs(deployment: Rig) -> None:
    """The same for Debian's GRUB: the generic file leads to the machine's."""
    deployment.tftp.files["grub/grub.cfg"] = b'source "/grub/by-mac/$net_default_mac.cfg"\n'
    install = f"linux /images/vmlinuz {deployment.arguments}\ninitrd /images/initrd.img\nboot\n"
    deployment.tftp.files[BY_MAC] = install.encode()

    def done(progress: Progress) -> None:
        if progress.stage is Stage.INSTALLED:
            loader = b"/EFI/BOOT/BOOTX64.EFI"
            disk = b"if search --set=root --file %s; then\nchainloader %s\nboot\nfi\n"
            deployment.tftp.files[BY_MAC] = disk % (loader, loader)

    deployment.on_progress = done


async def test_a_bios_machine_from_power_on_to_its_own_disk() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(BIOS)
    assert (result.outcome, result.reason, result.faults, result.attempts) == (Outcome.BOOTED, "", (), 1)
    assert list(result.stages) == STAGES
    assert deployment.tftp.whole() == [
        "pxelinux.0",
        "ldlinux.c32",
        PXELINUX,
        "/images/vmlinuz",
        "/images/initrd.img",
        "pxelinux.0",
        "ldlinux.c32",
        PXELINUX,
    ]
    assert deployment.tftp.asked()[3:5] == [f"pxelinux.cfg/{BIOS.smbios}", PXELINUX]
    calls = [(request.path, request.body) for request in deployment.http.requests if request.method == "POST"]
    assert calls == [("/i/token/started", b""), ("/i/token/progress?phase=post", b"halfway"), ("/i/token/done", b"")]
    kinds = [client_of(request).kind for request in deployment.dhcp.requests]
    assert kinds == ["pxe", "pxe", "other", "other", "pxe", "pxe", "other", "other"]


async def test_the_installer_says_who_it_is_and_reads_the_tree_by_range() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        deployment.tftp.files[PXELINUX] = deployment.tftp.files[PXELINUX].replace(b"ip=dhcp", b"inst.ks.sendmac")
        await deployment.power_on(BIOS)
    asked = {request.path: request.headers for request in deployment.http.requests}
    answers = asked["/i/token/ks.cfg"]
    assert answers["x-anaconda-architecture"] == "x86_64"
    assert answers["x-rhn-provisioning-mac-0"] == f"eth0 {MAC}"
    assert "x-system-serial-number" not in answers
    ranges = [request.headers.get("range") for request in deployment.http.requests if "install.img" in request.path]
    assert ranges == ["bytes=0-65535", "bytes=134464-199999"]


@pytest.mark.parametrize("build", list(GrubBuild))
async def test_a_uefi_machine_by_shim_and_grub(build: GrubBuild) -> None:
    async with rig() as deployment:
        grub_installs(deployment)
        if build is GrubBuild.RED_HAT:
            deployment.tftp.files[f"grub.cfg-01-{DASHED}"] = b"source (tftp)/grub/by-mac/$net_default_mac.cfg\n"
        (result,) = await deployment.power_on(replace(UEFI, grub=build))
    assert (result.outcome, result.reason) == (Outcome.BOOTED, "")
    assert list(result.stages) == STAGES
    asked = deployment.tftp.asked()
    assert asked[:6] == [
        *["shimx64.efi"] * 2,
        *("revocations_sku.efi", "revocations_sbat.efi", "shim_certificate_0.efi", "grubx64.efi"),
    ]
    folder = "/grub" if build is GrubBuild.DEBIAN else ""
    assert asked[6] == f"{folder}/x86_64-efi/command.lst"
    found = "/grub/grub.cfg" if build is GrubBuild.DEBIAN else f"/grub.cfg-01-{DASHED}"
    assert deployment.tftp.whole()[2:6] == [found, f"/{BY_MAC}", "/images/vmlinuz", "/images/initrd.img"]


async def test_an_ipxe_machine_by_a_script_over_http() -> None:
    async with rig() as deployment:
        script = f"{deployment.http.url}/boot/ipxe/{DASHED}"
        deployment.dhcp.boot_file = lambda client: script if client.kind == "ipxe" else ""
        deployment.http.files[f"/boot/ipxe/{DASHED}"] = (
            f"#!ipxe\nkernel {deployment.http.url}/vmlinuz {deployment.arguments} ||\n"
            f"initrd {deployment.http.url}/initrd.img\nboot\n"
        ).encode()

        def done(progress: Progress) -> None:
            if progress.stage is Stage.INSTALLED:
                deployment.http.files[f"/boot/ipxe/{DASHED}"] = b"#!ipxe\nsanboot --no-describe --drive 0x80 || exit\n"

        deployment.on_progress = done
        (result,) = await deployment.power_on(IPXE)
    assert (result.outcome, result.reason) == (Outcome.BOOTED, "")
    assert set(STAGES) - set(result.stages) == {Stage.BOOTLOADER}
    assert not deployment.tftp.transfers


@pytest.mark.parametrize(("machine", "program"), [(BIOS, "undionly.kpxe"), (UEFI, "ipxe.efi")])
async def test_ipxe_as_a_boot_program_asks_again(machine: MachineSpec, program: str) -> None:
    async with rig() as deployment:
        script = f"{deployment.http.url}/script"
        deployment.dhcp.boot_file = lambda client: script if client.kind == "ipxe" else program
        deployment.http.files["/script"] = (
            f"#!ipxe\nkernel {deployment.http.url}/vmlinuz initrd=i.img {deployment.arguments}\n"
            f"initrd -n i.img {deployment.http.url}/initrd.img\nboot\n"
        ).encode()
        stop = Misbehaviour(stop_at=Stage.ANSWERS)
        (result,) = await deployment.power_on(replace(machine, misbehaviour=stop))
    assert (result.outcome, result.reason) == (Outcome.STOPPED, "told to stop at answers")
    seen = [client_of(request) for request in deployment.dhcp.requests]
    assert [client.kind for client in seen] == ["pxe", "pxe", "ipxe", "ipxe", "other", "other"]


async def test_an_ipxe_rom_may_be_sent_on_to_pxelinux() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(IPXE)
    assert (result.outcome, list(result.stages)) == (Outcome.BOOTED, STAGES)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_machine_stops_where_it_is_told(stage: Stage) -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=Misbehaviour(stop_at=stage)))
    assert (result.outcome, list(result.stages)) == (Outcome.STOPPED, STAGES[: STAGES.index(stage) + 1])


@pytest.mark.parametrize("stage", [Stage.LEASED, Stage.KERNEL, Stage.STARTED, Stage.INSTALLED])
async def test_a_machine_switched_off_in_the_middle_comes_back(stage: Stage) -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=Misbehaviour(power_cycle_at=stage)))
    assert (result.outcome, result.attempts, result.faults) == (Outcome.BOOTED, 2, ())


async def test_a_transfer_broken_off_is_made_good_by_the_next_boot() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        abort = Misbehaviour(abort=Abort(Stage.INITRD, 50))
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=abort, tries=2))
    assert (result.outcome, result.attempts) == (Outcome.BOOTED, 2)
    assert "broken off" in result.faults[0]


async def test_a_lossy_network_is_survived() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=Misbehaviour(loss=0.1), tries=5, seed=1))
    assert result.outcome is Outcome.BOOTED


async def test_callbacks_may_be_made_twice_or_never() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=Misbehaviour(callbacks=2)))
        assert result.outcome is Outcome.BOOTED
        assert deployment.http.asked("POST").count("/i/token/done") == 2
        pxelinux_installs(deployment)
        deployment.http.requests.clear()
        deployment.on_progress = lambda _: None
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=Misbehaviour(callbacks=0)))
    assert (result.outcome, deployment.http.asked("POST")) == (Outcome.REINSTALLED, [])
    assert "never said it was done" in result.reason


async def test_an_install_that_is_ordered_again_after_done_is_a_failure() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        deployment.on_progress = lambda _: None
        (result,) = await deployment.power_on(BIOS)
    assert (result.outcome, result.ok) == (Outcome.REINSTALLED, False)
    assert "had said that it was done" in result.reason


async def test_a_callback_is_made_again_until_it_is_taken() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        deployment.http.statuses = {"/i/token/done": [503, 503], "/i/token/started": [403]}
        (result,) = await deployment.power_on(BIOS)
    assert result.outcome is Outcome.BOOTED
    assert deployment.http.asked("POST").count("/i/token/done") == 3
    assert deployment.http.asked("POST").count("/i/token/started") == 1
    assert result.faults == ("the callback started was not taken: HTTP 403",)


async def test_an_installer_that_gives_up_says_so() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=Misbehaviour(fails="no disk")))
    assert (result.outcome, result.reason) == (Outcome.FAILED, "Anaconda: no disk")
    assert [(one.path, one.body) for one in deployment.http.requests if one.method == "POST"][1:] == [
        ("/i/token/failed", b"no disk")
    ]


async def test_a_machine_that_believes_another_server() -> None:
    foreign = Misbehaviour(foreign_server=IPv4Address("127.99.0.1"))
    async with rig() as deployment:
        (result,) = await deployment.power_on(replace(BIOS, misbehaviour=foreign))
    assert (result.outcome, list(result.stages)) == (Outcome.FAILED, [Stage.POWERED, Stage.OFFERED])
    assert "another DHCP server" in result.reason


async def test_an_installed_machine_without_a_boot_server_boots_its_disk() -> None:
    async with rig() as deployment:
        deployment.tftp.files.clear()
        (result,) = await deployment.power_on(replace(BIOS, installed=True))
    assert result.outcome is Outcome.BOOTED
    assert "TFTP error 1" in result.faults[0]
    assert deployment.dhcp.requests[-1].options[Option.HOST_NAME] == b"node01"


WRONG = {
    "DEFAULT i\nLABEL i\nKERNEL /images/nothing\n": "images/nothing: no such file",
    "DEFAULT i\nLABEL i\nKERNEL /images/vmlinuz\n": "no initial ram disk",
    "DEFAULT i\nLABEL i\nKERNEL /images/vmlinuz\nINITRD /images/initrd.img\n": "names no answer file",
    "DEFAULT i\nLABEL i\nKERNEL http://127.0.0.1/vmlinuz\n": "pxelinux.0 does not speak HTTP",
    "DEFAULT i\nLABEL i\nKERNEL vesamenu.c32\n": "COM32 vesamenu.c32 is not simulated",
    "DEFAULT d\nLABEL d\nLOCALBOOT -1\n": "which is empty",
    "nonsense": "No DEFAULT or UI",
    "": "Unable to locate configuration file",
}


@pytest.mark.parametrize("text", WRONG)
async def test_a_wrong_configuration_stops_a_machine_as_a_real_one(text: str) -> None:
    async with rig() as deployment:
        deployment.tftp.files[PXELINUX] = text.encode()
        (result,) = await deployment.power_on(BIOS)
    assert result.outcome is Outcome.FAILED
    assert WRONG[text] in result.reason


WRONG_ANSWERS = {
    b"%pre\n": "has no %end",
    b"lang en\n": "does not reboot",
}


@pytest.mark.parametrize("text", WRONG_ANSWERS)
async def test_a_wrong_answer_file_stops_the_installer(text: bytes) -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        deployment.http.files["/i/token/ks.cfg"] = text
        (result,) = await deployment.power_on(BIOS)
    assert result.outcome is Outcome.FAILED
    assert WRONG_ANSWERS[text] in result.reason


@pytest.mark.parametrize("tree", ["http://[", "nonsense", "http://192.0.2.1/tree/", "http://"])
async def test_a_tree_elsewhere_is_left_in_peace(tree: str) -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        config = deployment.tftp.files[PXELINUX].decode()
        deployment.tftp.files[PXELINUX] = f"{config.rstrip()} inst.repo={tree}\n".encode()
        (result,) = await deployment.power_on(BIOS)
    assert (result.outcome, result.faults) == (Outcome.BOOTED, ())
    assert deployment.http.asked() == ["/i/token/ks.cfg"]


async def test_the_tree_says_where_its_system_is() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        deployment.http.files["/tree/.treeinfo"] = b"[stage2]\nmainimage = other/stage2.img\n"
        deployment.http.files["/tree/other/stage2.img"] = bytes(1000)
        (result,) = await deployment.power_on(BIOS)
    assert result.outcome is Outcome.BOOTED
    assert deployment.http.asked().count("/tree/other/stage2.img") == 1


async def test_missing_parts_are_named() -> None:
    async with rig() as deployment:
        pxelinux_installs(deployment)
        del deployment.http.files["/tree/images/install.img"]
        (result,) = await deployment.power_on(BIOS)
        assert "install.img: HTTP 404" in result.reason
        deployment.http.statuses["/i/token/ks.cfg"] = [410]
        (result,) = await deployment.power_on(BIOS)
        assert "ks.cfg: HTTP 410" in result.reason
        del deployment.tftp.files["ldlinux.c32"]
        (result,) = await deployment.power_on(BIOS)
    assert result.reason == "PXELINUX: Failed to load ldlinux.c32"


@pytest.mark.parametrize(
    ("machine", "program", "reason"),
    [
        (BIOS, "shimx64.efi", "not an executable of this firmware"),
        (UEFI, "pxelinux.0", "not an executable of this firmware"),
        (BIOS, "images/vmlinuz", "not simulated"),
        (BIOS, "", "no boot file name"),
        (BIOS, "nothing.0", "no such file"),
        (BIOS, "empty.0", "the file is empty"),
    ],
)
async def test_a_wrong_boot_program_is_not_started(machine: MachineSpec, program: str, reason: str) -> None:
    async with rig() as deployment:
        deployment.tftp.files["empty.0"] = b""
        deployment.dhcp.boot_file = lambda _: program
        (result,) = await deployment.power_on(machine)
    assert reason in result.reason


SCRIPTS = {
    "#!ipxe\nexit 1\n": "left with status 1",
    "#!ipxe\nfrobnicate\n": "frobnicate: command not found",
    "#!ipxe\ngoto nowhere\n": "goto nowhere: No such file",
    "#!ipxe\nboot\n": "no image is selected",
    "#!ipxe\nkernel /nothing\n": "nothing: no such file",
    "#!ipxe\nshell\n": "at its keyboard",
    "#!ipxe\n:a\ngoto a\n": "2000 commands",
    "#!ipxe\nchain /again\n": "call one another",
    "#!ipxe\nset x y\niseq ${x} y && goto out ||\nboot\n:out\n": "which is empty",
    "#!ipxe\niseq a b && exit 1 || isset ${mac} && exit 0 ||\n": "which is empty",
    "<html>": "Exec format error",
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_scripts_that_boot_nothing(script: str) -> None:
    async with rig() as deployment:
        deployment.dhcp.boot_file = lambda _: "script.ipxe"
        deployment.tftp.files |= {"script.ipxe": script.encode(), "again": b"#!ipxe\nchain /again\n"}
        (result,) = await deployment.power_on(IPXE)
    assert result.outcome is Outcome.FAILED
    assert SCRIPTS[script] in result.reason
