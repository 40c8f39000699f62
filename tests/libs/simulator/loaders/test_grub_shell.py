from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.simulator.boot import Linux, LocalDisk, Next, Program
from libs.simulator.errors import SimulationError, StandstillError, TransferError
from libs.simulator.loaders.grub_commands import COMMANDS
from libs.simulator.loaders.grub_menu import configure, start
from libs.simulator.loaders.grub_shell import Shell, Started

INSTALL = """
linux /images/mini/vmlinuz inst.ks=http://10.77.0.1/ks.cfg ip=dhcp "a=b c"
initrd /images/mini/initrd.img /images/mini/more.img
boot
"""
DISK = """
for vendor in redhat debian; do
  for program in shim grub; do
    if search --no-floppy --set=root --file /EFI/$vendor/${program}x64.efi; then
      chainloader /EFI/$vendor/${program}x64.efi
      boot
    fi
  done
done
"""


@dataclass
class Files:
    """A machine whose network has these files, and whose disk has those."""

    network: dict[str, str]
    disk: tuple[str, ...] = ()
    loaded: list[str] = field(default_factory=list)
    root: dict[str, str] = field(default_factory=dict)

    async def script(self, path: str) -> bytes:
        return self._get(path).encode()

    async def kernel(self, path: str) -> None:
        self.loaded.append(self._get(path) and path)

    async def initrd(self, path: str) -> None:
        self.loaded.append(self._get(path) and path)

    async def chain(self, path: str) -> Next:
        return LocalDisk(path) if path in self.disk else Program(path)

    def listed(self, path: str) -> bool:
        return path.removeprefix("(hd0,gpt1)") in self.disk

    async def size(self, path: str) -> int:
        return len(self.network.get(path, ""))

    def _get(self, path: str) -> str:
        if path not in self.network:
            raise TransferError(f"error: file `{path}' not found.", "missing")
        return self.network[path]


async def boot(files: Files, **variables: str) -> tuple[Next | None, Shell]:
    shell = Shell(files, COMMANDS, {"net_default_mac": "52:54:00:00:00:01", **variables})
    try:
        await configure(shell, "/grub/grub.cfg")
        start(shell)
    except Started as end:
        return end.started, shell
    return None, shell


def files(config: str, *disk: str, **more: str) -> Files:
    images = {f"/images/mini/{name}": "x" for name in ("vmlinuz", "initrd.img", "more.img")}
    return Files({"/grub/grub.cfg": config, **images, **more}, disk)


async def test_a_generic_configuration_leads_to_the_machines_own() -> None:
    machine = files('source "/grub/by-mac/$net_default_mac.cfg"\necho nothing\n')
    machine.network["/grub/by-mac/52:54:00:00:00:01.cfg"] = INSTALL
    started, _ = await boot(machine)
    assert started == Linux("BOOT_IMAGE=/images/mini/vmlinuz inst.ks=http://10.77.0.1/ks.cfg ip=dhcp a=b c", 2)
    assert machine.loaded == ["/images/mini/vmlinuz", "/images/mini/initrd.img", "/images/mini/more.img"]


async def test_a_missing_script_is_silent_and_the_next_line_is_run() -> None:
    started, _ = await boot(
        files("if source /nowhere; then set a=b; fi\nif [ $a = b ]; then linux /images/mini/vmlinuz\nfi")
    )
    assert started == Linux("BOOT_IMAGE=/images/mini/vmlinuz")


@pytest.mark.parametrize("loader", ["/EFI/redhat/shimx64.efi", "/EFI/debian/grubx64.efi"])
async def test_the_disk_is_searched_for_a_loader(loader: str) -> None:
    assert (await boot(files(DISK, loader)))[0] == LocalDisk(loader)


async def test_an_empty_disk_boots_nothing_and_says_why() -> None:
    started, shell = await boot(files(DISK))
    assert started is None
    assert "error: no such device: /EFI/debian/grubx64.efi." in shell.printed


async def test_an_unknown_command_is_an_error_and_the_script_goes_on() -> None:
    started, shell = await boot(files("frobnicate x\n" + INSTALL))
    assert isinstance(started, Linux)
    assert shell.printed == ["error: can't find command `frobnicate'."]


async def test_an_initrd_without_a_kernel_and_a_boot_without_anything() -> None:
    started, shell = await boot(files("linux /missing\ninitrd /images/mini/initrd.img\nboot\n"))
    assert started is None
    assert shell.printed == ["error: file `/missing' not found.", *["error: you need to load the kernel first."] * 2]


async def test_files_over_the_network_cannot_be_listed_but_sized() -> None:
    config = "if [ -f /images/mini/vmlinuz ]; then set a=f\nelif [ -s /images/mini/vmlinuz ]; then set a=s; fi\n"
    config += "linux /images/mini/vmlinuz $a"
    assert (await boot(files(config)))[0] == Linux("BOOT_IMAGE=/images/mini/vmlinuz s")


MENU = """
set timeout={timeout}
set default={default}
menuentry 'First' --id first {{ linux /images/mini/vmlinuz first
}}
menuentry "Second one" --class os --id=second {{
  linux /images/mini/vmlinuz second $1
  initrd /images/mini/initrd.img
}}
submenu 'More' --id more {{
  menuentry Third {{ linux /images/mini/vmlinuz third; boot; }}
}}
menuentry Broken {{ linux /nowhere; }}
"""


@pytest.mark.parametrize(
    ("default", "booted"),
    [
        ("0", "first"),
        ("1", "second Second one"),
        ("second", "second Second one"),
        ("'Second one'", "second Second one"),
        ("'more>Third'", "third"),
        ("nonsense", "first"),
        ("17", "first"),
    ],
)
async def test_a_menu_boots_its_default(default: str, booted: str) -> None:
    started, _ = await boot(files(MENU.format(timeout=5, default=default)))
    assert isinstance(started, Linux)
    assert started.command_line == f"BOOT_IMAGE=/images/mini/vmlinuz {booted}"


async def test_a_fallback_is_tried() -> None:
    started, _ = await boot(files("set fallback=1\n" + MENU.format(timeout=0, default="Broken")))
    assert isinstance(started, Linux)
    assert "second" in started.command_line


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MENU.format(timeout="", default=0), "waits in its menu for ever"),
        (MENU.format(timeout=-1, default=0), "waits in its menu for ever"),
        (MENU.format(timeout=1, default="Broken"), "back in its menu and waits: error: file `/nowhere' not found"),
        ("exit\n", "stays in its set-up screen"),
        ("linux /nowhere\nreboot\n", "restarts the machine: error: file `/nowhere' not found"),
        ("regexp a b\n", "`regexp' is not simulated"),
        ("while true; do true; done\n", "20000 commands"),
        ("function f {\n f\n}\nf\n", "deeper than 40"),
        ("configfile /grub/grub.cfg\n", "deeper than 40"),
        ('set a=xxxxxxxxxx\nfor i in 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8; do set a="$a$a"; done\n', "longer than"),
    ],
)
async def test_where_a_machine_would_stand_still(config: str, reason: str) -> None:
    with pytest.raises(StandstillError, match=reason):
        await boot(files(config))


async def test_functions_and_unquoted_variables() -> None:
    config = 'set a="x  y"\nfunction load {\n linux /images/mini/vmlinuz $# $1 "$a" $a\n}\nload one two\n'
    started, shell = await boot(files(config))
    assert started == Linux("BOOT_IMAGE=/images/mini/vmlinuz 2 one x  y x y")
    assert "1" not in shell.variables


EXPRESSIONS = {
    "a = a": True,
    "a != a": False,
    "-n ''": False,
    "-z ''": True,
    "!": True,
    "! a = a": False,
    "a = b -o b = b": True,
    "a = a -a b = c": False,
    "a = a b = b": True,
    "( a = b -o a = a ) -a 3 -lt 0x10": True,
    "": False,
    "word": True,
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
async def test_expressions(expression: str) -> None:
    wanted = "yes" if EXPRESSIONS[expression] else "no"
    config = f"if [ {expression} ]; then set r=yes; else set r=no; fi\nlinux /images/mini/vmlinuz $r\n"
    assert (await boot(files(config)))[0] == Linux(f"BOOT_IMAGE=/images/mini/vmlinuz {wanted}")


PIECES = st.sampled_from(
    [
        "if [ $a = b ]; then\n",
        "else\n",
        "fi\n",
        "set a=$a$b\n",
        "linux /images/mini/vmlinuz\n",
        "for i in $a 1 2; do\n",
        "while true; do\n",
        "done\n",
        "source /grub/grub.cfg\n",
        "menuentry x {\n",
        "function f {\n",
        "}\n",
        "f\n",
        "set timeout=1\n",
        "[ ( ! -a ]\n",
        "search /x\n",
        "boot\n",
        "'\n",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
async def test_whatever_the_script_it_ends(config: str) -> None:
    with suppress(SimulationError):
        await boot(files(config))
