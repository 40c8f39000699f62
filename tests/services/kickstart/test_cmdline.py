"""Kernel options: what reaches the kernel is what was written, by each of the three loaders; the rest is refused."""

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kickstart.cmdline import MAX_LENGTH, CommandLineError, checked, checked_line
from services.kickstart.quoting import grub
from services.kickstart.render import inspect
from tests.services.kickstart.examples import machine, order, sandbox

OPTIONS = [
    "quiet",
    "console=tty0",
    "console=ttyS0,115200n8",
    "rd.luks.name=a=b",
    'dyndbg="file drivers/usb/* +p"',
    "net.ifnames=0",
    r"systemd.mask=dev-disk-by\x2dlabel.swap",
    "panic=-1",
    "ip=[2001:db8::1]:eth0",
    "$x",
    "a{b}",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_usual_options_are_taken_as_they_are(option: str) -> None:
    assert checked(option) == option


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("a\nb", "printable"),
        ("a\tb", "printable"),
        ("", "printable"),
        ("é", "printable"),
        ('a="b', "not closed"),
        ("a b", "double quotes"),
        ('a="b  c"', "single spaces"),
        ("a='b'", "single quotes"),
        (r"a=\b", "backslashes"),
        ("a=${net0/mac}", "iPXE"),
        ("||", "iPXE"),
        ("&&", "iPXE"),
        (";", "iPXE"),
        ('a="b ; c"', "iPXE"),
    ],
)
def test_what_a_loader_would_change_is_refused_with_the_reason(option: str, reason: str) -> None:
    with pytest.raises(CommandLineError, match=reason):
        checked(option)


@given(st.text(st.characters(max_codepoint=0x17F), max_size=30))
def test_an_accepted_option_is_one_argument_for_every_loader(option: str) -> None:
    try:
        checked(option)
    except CommandLineError:
        return
    assert _kernel_arguments(option) == [option.replace('"', "")]
    assert _kernel_arguments(_grub_passes_on(grub(option))) == [option.replace('"', "")]
    assert _ipxe_passes_on(option) == option
    assert "\n" not in option


def test_order_and_duplicates_are_kept() -> None:
    files = inspect(order(kernel_options=["console=tty0", "b", "console=ttyS0", "a"]), sandbox(), validate=False).files
    for name in ("pxelinux.cfg/01-52-54-00-00-00-01", "ipxe/52-54-00-00-00-01"):
        assert " console=tty0 b console=ttyS0 a" in files[name]
    assert "'console=tty0' 'b' 'console=ttyS0' 'a'" in files["grub/by-mac/52:54:00:00:00:01.cfg"]


def test_the_length_is_bounded_with_what_loaders_add() -> None:
    room = MAX_LENGTH - len("BOOT_IMAGE= initrd= ")
    assert checked_line(["x" * room], loaded=[])
    with pytest.raises(CommandLineError, match="characters"):
        checked_line(["x" * room], loaded=["/k"])
    found = inspect(order(kernel_options=["x" * 2000]), sandbox(), validate=False)
    assert all("2047" in problem.message and problem.variable == "kernel_options" for problem in found.problems)
    assert found.problems


def test_a_debian_installer_gets_the_options_behind_its_separator() -> None:
    debian = machine().image
    assert debian
    image = debian.model_copy(update={"family": "debian"})
    text = inspect(order(image=image), sandbox(), validate=False).files["pxelinux.cfg/01-52-54-00-00-00-01"]
    assert re.search(
        r"url=http://10\.77\.0\.1:8081/i/\S+/preseed\.cfg .*BOOTIF=01-\S+ --- console=ttyS0,115200$", text, re.M
    )


def _kernel_arguments(line: str) -> list[str]:
    """How Linux splits its command line (lib/cmdline.c, next_arg): at spaces outside double quotes."""
    found = re.findall(r'(?:[^" ]|"[^"]*")+', line)
    return [word.replace('"', "") for word in found]


def _grub_passes_on(word: str) -> str:
    """How GRUB hands an argument to Linux (lib/cmdline.c): escapes, and quotes around an argument with spaces."""
    (argument,) = shlex.split(word)
    escaped = re.sub(r"\\(?!x[0-9a-fA-F]{2})|['\"]", lambda match: "\\" + match[0], argument)
    return f'"{escaped}"' if " " in argument else escaped


def _ipxe_passes_on(option: str) -> str:
    """How iPXE splits a command (core/exec.c): at white space, with no quotes, ended by its separators."""
    words = option.split()
    assert not {"||", "&&", ";"} & set(words)
    assert "${" not in option
    return " ".join(words)
