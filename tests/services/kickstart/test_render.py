"""The built-in templates as real loaders and installers read them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from libs.desired import ImageDocument
from services.kickstart.bootconfig import boot_files
from services.kickstart.facts import Order
from services.kickstart.families import FAMILIES
from services.kickstart.families.redhat import syntax
from services.kickstart.render import Inspection, answers, inspect
from services.kickstart.sandbox import RenderError
from services.kickstart.validate import kickstart_flaws
from tests.services.kickstart.examples import DEBIAN, RACK, ROCKY, TOKEN, USERS, install, machine, order, sandbox
from tests.support import needs

BY_MAC = "52-54-00-00-00-01"
FULL: dict[str, Any] = {
    "users": USERS,
    "root_password_hash": "$6$a$b",
    "root_ssh_keys": ["ssh-rsa AAAA root@lab"],
    "packages": ["vim", "@core"],
    "repositories": [{"name": "extras", "url": "http://10.77.0.1/extras"}],
    "partitioning": "plain",
}
VARIABLES: list[dict[str, Any]] = [{"disk": "/dev/sda"}, {}, {"disk": "vda"} | FULL]


def rendered(what: Order, site: Path | None = None) -> Inspection:
    """Everything for an order, which has to be right."""
    found = inspect(what, sandbox(site), validate=True)
    assert not found.problems
    return found


# --- boot configurations ------------------------------------------------------------------------------------


def test_an_install_by_pxelinux() -> None:
    text = rendered(order()).files[f"pxelinux.cfg/01-{BY_MAC}"]
    assert text.splitlines() == [
        "DEFAULT install",
        "PROMPT 0",
        "TIMEOUT 100",
        "SAY kickfleet: node01 installs rocky-9",
        "LABEL install",
        "  KERNEL /images/rocky-9/images/pxeboot/vmlinuz",
        "  INITRD /images/rocky-9/images/pxeboot/initrd.img",
        f"  APPEND inst.ks=http://10.77.0.1:8081/i/{TOKEN}/ks.cfg inst.repo=http://10.77.0.1:8081/images/rocky-9/"
        f" ip=dhcp BOOTIF=01-{BY_MAC} console=ttyS0,115200",
    ]


def test_an_install_by_lpxelinux_loads_by_http() -> None:
    text = rendered(order(boot_loader="lpxelinux")).files[f"pxelinux.cfg/01-{BY_MAC}"]
    assert "KERNEL http://10.77.0.1:8081/images/rocky-9/images/pxeboot/vmlinuz\n" in text
    assert "INITRD http://10.77.0.1:8081/images/rocky-9/images/pxeboot/initrd.img\n" in text


def test_an_install_by_grub() -> None:
    lines = rendered(order()).files["grub/by-mac/52:54:00:00:00:01.cfg"].splitlines()
    assert lines[1].startswith("linux /images/rocky-9/images/pxeboot/vmlinuz 'inst.ks=http://10.77.0.1:8081/i/")
    assert lines[2:4] == ["initrd /images/rocky-9/images/pxeboot/initrd.img", "boot"]
    assert lines[-1] == "reboot"


def test_an_install_by_ipxe() -> None:
    image = ROCKY.model_copy(update={"initrd": ["a/initrd.img", "b/initrd.img"]})
    lines = rendered(order(image=image)).files[f"ipxe/{BY_MAC}"].splitlines()
    assert lines[0] == "#!ipxe"
    kernel = next(line for line in lines if line.startswith("kernel "))
    assert "vmlinuz initrd=initrd1.img initrd=initrd2.img inst.ks=" in kernel
    assert "initrd --name initrd1.img http://10.77.0.1:8081/images/rocky-9/a/initrd.img || goto again" in lines
    assert "initrd --name initrd2.img http://10.77.0.1:8081/images/rocky-9/b/initrd.img || goto again" in lines
    assert "boot || goto again" in lines


def test_an_image_without_initrd_names_none() -> None:
    files = rendered(order(image=ROCKY.model_copy(update={"initrd": []}))).files
    for text in files.values():
        assert "initrd" not in text.lower()


def test_local_boot_for_each_loader() -> None:
    files = rendered(order(netboot="disk", install=None)).files
    assert files[f"pxelinux.cfg/01-{BY_MAC}"].endswith("LABEL disk\n  LOCALBOOT -1\n")
    grub = files[f"grub.cfg-01-{BY_MAC}"]
    assert "chainloader /EFI/$vendor/$program$cpu.efi" in grub
    assert "BOOT/BOOT$cpu.EFI" in grub
    assert not re.search(r"^\s*exit", grub, re.M)
    assert "sanboot --no-describe --drive 0x80" in files[f"ipxe/{BY_MAC}"]


def test_every_name_that_a_loader_may_ask_for() -> None:
    what = machine(macs=["52:54:00:00:00:01", "52-54-00-00-00-02"], uuid="00112233-4455-6677-8899-AABBCCDDEEFF")
    document = boot_files(Order(machine=what, subnet=RACK, base_url="http://h:1"), sandbox())
    names = set()
    for mac in ("52:54:00:00:00:01", "52:54:00:00:00:02"):
        dashed = mac.replace(":", "-")
        names |= {f"pxelinux.cfg/01-{dashed}", f"grub/grub.cfg-01-{dashed}", f"grub.cfg-01-{dashed}"}
        names |= {f"grub/by-mac/{mac}.cfg", f"ipxe/{dashed}"}
    for uuid in ("00112233-4455-6677-8899-aabbccddeeff", "33221100-5544-7766-8899-aabbccddeeff"):
        names |= {f"pxelinux.cfg/{uuid}", f"grub.cfg-{uuid}"}
    assert set(document.files) == names
    assert set(document.by_address) == {"pxelinux", "grub"}
    assert "BOOTIF=01-52-54-00-00-00-02" in document.files["pxelinux.cfg/01-52-54-00-00-00-02"]
    assert document.macs == ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    assert (document.kernel, document.initrd) == (
        "images/rocky-9/images/pxeboot/vmlinuz",
        ["images/rocky-9/images/pxeboot/initrd.img"],
    )


def test_grub_texts_are_shell_that_parses() -> None:
    """GRUB's script is close to a shell's: what bash cannot parse, GRUB cannot."""
    bash = needs.program("bash")
    for what in (order(), order(netboot="disk", install=None)):
        text = rendered(what).files[f"grub.cfg-01-{BY_MAC}"]
        subprocess.run([bash, "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"image": None}, "image"),
        ({"image": ROCKY.model_copy(update={"family": "haiku"})}, "image.family"),
        ({"image": ROCKY.model_copy(update={"kernel": "../../etc/shadow"})}, "image.kernel and image.initrd"),
        ({"image": ROCKY.model_copy(update={"kernel": "a b\nAPPEND x"})}, "image.kernel and image.initrd"),
        ({"image": ROCKY.model_copy(update={"name": "x\ny"})}, "image.name"),
        ({"name": "node01\nLABEL x"}, "name"),
        ({"macs": []}, "macs"),
        ({"macs": ["ff:ff:ff:ff:ff:ff"]}, "macs"),
        ({"uuid": "x"}, "uuid"),
        ({"kernel_options": ["a\nb"]}, "kernel_options"),
        ({"install": install(token="a/../b")}, "install.token"),
    ],
)
def test_a_document_that_cannot_be_right_is_refused_by_field(changes: dict[str, Any], variable: str) -> None:
    with pytest.raises(RenderError) as refused:
        boot_files(order(**changes), sandbox())
    assert refused.value.problem.variable == variable


# --- answer files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["8", "9", "10", "41", "44"])
@pytest.mark.parametrize("variables", VARIABLES)
def test_the_kickstart_is_valid_for_every_version(version: str, variables: dict[str, Any]) -> None:
    image = ROCKY.model_copy(update={"version": version})
    text = answers(order(image=image, variables=variables), sandbox()).text
    assert kickstart_flaws(text, syntax(image)) == []


def test_the_kickstart_says_what_was_asked_for() -> None:
    text = answers(order(variables={"disk": "/dev/sda"} | FULL), sandbox()).text
    parser = KickstartParser(makeVersion("RHEL9"))
    parser.readKickstartFromString(text)
    read = parser.handler
    assert read.url.url == "http://10.77.0.1:8081/images/rocky-9/"
    assert read.ignoredisk.onlyuse == ["sda"]
    assert (read.rootpw.password, read.rootpw.isCrypted) == ("$6$a$b", True)
    assert [(user.name, user.groups, user.password) for user in read.user.userList] == [
        ("ada", ["wheel"], "$6$salt$hash")
    ]
    assert {key.key for key in read.sshkey.sshUserList} == {"ssh-ed25519 AAAA ada's key", "ssh-rsa AAAA root@lab"}
    assert read.bootloader.appendLine == "console=ttyS0,115200"
    assert read.network.network[0].hostname == "node01.lab.example"
    assert read.packages.environment == "minimal-environment"
    assert read.packages.packageList == ["vim"]
    assert read.reboot.action is not None
    scripts = [(script.type, re.findall(r"/i/[^/]+/([a-z]+)", script.script)) for script in read.scripts]
    assert [calls for _, calls in scripts] == [["started"], ["progress"], ["failed"], ["done"]]


def test_without_a_password_hash_root_is_locked() -> None:
    assert "\nrootpw --lock\n" in answers(order(), sandbox()).text
    preseed = answers(order(image=DEBIAN), sandbox()).text
    assert "\nd-i passwd/root-password-crypted password !\n" in preseed


@pytest.mark.parametrize("variables", VARIABLES)
def test_the_preseed_is_taken_by_debconf(variables: dict[str, Any]) -> None:
    checker = needs.program("debconf-set-selections", "debconf")
    text = rendered(order(image=DEBIAN, variables=variables)).files["preseed.cfg"]
    checked = subprocess.run([checker, "-c"], input=text, text=True, capture_output=True, check=True)
    assert not checked.stderr


@pytest.mark.parametrize("variables", VARIABLES)
def test_the_preseed_commands_are_shell(variables: dict[str, Any]) -> None:
    text = answers(order(image=DEBIAN, variables=variables), sandbox()).text
    joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", text)
    commands = dict(re.findall(r"^d-i (\S+_command) string (.*)$", joined, re.M))
    assert {"preseed/early_command", "preseed/late_command"} <= set(commands)
    for command in commands.values():
        for shell in (needs.program("dash"), needs.program("busybox", "busybox-static")):
            words = [shell, "sh"] if shell.endswith("busybox") else [shell]
            subprocess.run([*words, "-n", "-c", command], check=True)
    assert re.findall(r"/i/[^/ ]+/([a-z]+)", commands["preseed/late_command"])[-1] == "done"
    assert "/started'" in commands["preseed/early_command"]


def test_the_preseed_says_where_the_disk_and_the_mirror_are() -> None:
    variables = {"disk": "vda", "mirror_host": "10.77.0.9", "mirror_directory": "/deb", "suite": "trixie"}
    lines = answers(order(image=DEBIAN, variables=variables), sandbox()).text.splitlines()
    for line in (
        "partman-auto/disk string /dev/vda",
        "grub-installer/bootdev string /dev/vda",
        "mirror/http/hostname string 10.77.0.9",
        "mirror/http/directory string /deb",
        "mirror/suite string trixie",
        "netcfg/get_hostname string node01",
        "netcfg/get_domain string lab.example",
    ):
        assert f"d-i {line}" in lines


def test_without_a_mirror_the_preseed_names_the_images_own_tree_and_nobody_elses() -> None:
    text = answers(order(image=DEBIAN), sandbox()).text
    host, directory = (
        re.findall(rf"^d-i mirror/http/{key} string (.+)$", text, re.M) for key in ("hostname", "directory")
    )
    assert host == ["10.77.0.1:8081"]
    assert directory == [f"/images/{DEBIAN.name}"]
    assert "security_host" not in text
    assert "d-i apt-setup/services-select multiselect" in text.splitlines()


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("rocky-9", None, "RHEL9"),
        ("rocky", "8.10", "RHEL8"),
        ("alma-10", None, "RHEL10"),
        ("fedora-41", None, "F41"),
        ("fedora", "44", "F44"),
        ("fedora-99", None, "F46"),
        ("stream", None, "RHEL9"),
        ("build-20260101", None, "RHEL9"),
    ],
)
def test_the_syntax_follows_the_image(name: str, version: str | None, expected: str) -> None:
    image = ImageDocument(name=name, family="redhat", kernel="k", version=version)
    assert syntax(image) == expected
    makeVersion(expected)


def test_every_family_has_its_template() -> None:
    for family in FAMILIES.values():
        assert sandbox().get_template(family.template)
