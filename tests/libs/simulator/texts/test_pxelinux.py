import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.simulator.errors import ConfigurationError
from libs.simulator.texts.pxelinux import MAX_COMMAND, MAX_LINE, Command, automatic, command, parse, search

VALUES = {1: "ip=10.77.0.11:10.77.0.1:10.77.0.1:255.255.255.0", 2: "BOOTIF=01-52-54-00-00-00-01", 4: "SYSUUID=u"}
INSTALL = b"""\
# made for node01
DEFAULT install
PROMPT 0
LABEL install
  KERNEL /images/mini/images/pxeboot/vmlinuz
  INITRD /images/mini/initrd.img,/images/mini/more.img
  APPEND inst.ks=http://10.77.0.1/ks.cfg ip=dhcp --- quiet
  IPAPPEND 2
"""


def booted(text: bytes) -> Command:
    return automatic(parse(text), VALUES)


def test_an_install() -> None:
    chosen = booted(INSTALL)
    assert (chosen.kind, chosen.kernel) == ("kernel", "/images/mini/images/pxeboot/vmlinuz")
    assert chosen.initrds() == ["/images/mini/initrd.img", "/images/mini/more.img"]
    assert chosen.command_line() == (
        "BOOT_IMAGE=/images/mini/images/pxeboot/vmlinuz inst.ks=http://10.77.0.1/ks.cfg ip=dhcp --- quiet "
        "initrd=/images/mini/initrd.img,/images/mini/more.img BOOTIF=01-52-54-00-00-00-01"
    )


@pytest.mark.parametrize("kind", ["-1", "0", "0x80"])
def test_local_boot(kind: str) -> None:
    chosen = booted(f"default local\nlabel local\n localboot {kind}\n".encode())
    assert (chosen.kind, chosen.kernel) == ("localboot", kind)


def test_keywords_in_any_case_and_line_ends_of_any_kind() -> None:
    assert booted(b"\tDeFaUlT x\r\nlAbEl x\r\n\tkErNeL vmlinuz\r\n\taPpEnD a=B\r\n") == Command(
        "kernel", "vmlinuz", "a=B"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pxelinux.0", "pxe"),
        ("chain.c32", "com32"),
        ("mbr.bin", "boot"),
        ("vmlinuz", "kernel"),
        ("disk.img", "fdimage"),
    ],
)
def test_a_kernel_is_what_its_extension_says(name: str, kind: str) -> None:
    assert booted(f"DEFAULT a\nLABEL a\nKERNEL {name}\n".encode()).kind == kind


def test_a_default_that_is_no_label_is_a_file() -> None:
    assert booted(b"DEFAULT vmlinuz root=/dev/sda1\nSYSAPPEND 2\n") == Command(
        "kernel", "vmlinuz", "root=/dev/sda1 BOOTIF=01-52-54-00-00-00-01"
    )
    with pytest.raises(ConfigurationError, match="IMPLICIT 0"):
        booted(b"DEFAULT vmlinuz\nIMPLICIT 0\n")


def test_append_of_a_label_wins_and_a_dash_means_none() -> None:
    labels = b"LABEL a\nKERNEL k\nLABEL b\nKERNEL k\nAPPEND own=1\nLABEL c\nKERNEL k\nAPPEND -\n"
    text = b"APPEND global=1\nDEFAULT %s\n" + labels
    assert [booted(text % name).arguments for name in (b"a", b"b", b"c")] == ["global=1", "own=1", ""]


def test_an_initrd_is_whatever_follows_initrd_anywhere() -> None:
    """As PXELINUX: it searches the text, not the words."""
    assert Command("kernel", "k", "rd.initrd=oops initrd=right").initrds() == ["oops"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "No DEFAULT or UI"),
        (b"LABEL a\nKERNEL k\n", "No DEFAULT or UI"),
        (b"DEFAULT a\nPROMPT 1\nLABEL a\nKERNEL k\n", "waits at its boot: prompt for ever"),
        (b"UI menu.c32\nLABEL a\nKERNEL k\n", "waits in its menu"),
        (b"INCLUDE other.cfg\n", "is not simulated"),
        (b"MENU INCLUDE other.cfg\n", "is not simulated"),
    ],
)
def test_where_a_machine_would_stand_still(text: bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        booted(text)


def test_a_prompt_or_a_menu_with_a_timeout_boots() -> None:
    assert booted(b"DEFAULT a\nPROMPT 1\nTIMEOUT 50\nLABEL a\nKERNEL k\n").kernel == "k"
    menu = b"UI menu.c32\nTIMEOUT 50\nLABEL a\nKERNEL k\nLABEL b\nMENU DEFAULT\nKERNEL l\n"
    assert booted(menu).kernel == "l"


def test_help_texts_and_unknown_lines_are_skipped() -> None:
    text = b"WHATEVER x\nDEFAULT a\nLABEL a\nTEXT HELP\nKERNEL wrong\nENDTEXT\nKERNEL right\n"
    assert booted(text).kernel == "right"


def test_a_line_too_long_goes_on_as_another_line() -> None:
    chosen = booted(b"DEFAULT a\nLABEL a\nKERNEL k\nAPPEND " + b"x" * 2 * MAX_LINE + b"\n")
    assert len(chosen.arguments) == MAX_LINE - len("APPEND ")
    assert len(chosen.command_line()) == MAX_COMMAND


def test_the_search_order() -> None:
    assert search("4c4c4544-0044-4210-8031-c2c04f505931", "52:54:00:00:00:0a", "10.77.0.11") == [
        "pxelinux.cfg/4c4c4544-0044-4210-8031-c2c04f505931",
        "pxelinux.cfg/01-52-54-00-00-00-0a",
        "pxelinux.cfg/0A4D000B",
        "pxelinux.cfg/0A4D000",
        "pxelinux.cfg/0A4D00",
        "pxelinux.cfg/0A4D0",
        "pxelinux.cfg/0A4D",
        "pxelinux.cfg/0A4",
        "pxelinux.cfg/0A",
        "pxelinux.cfg/0",
        "pxelinux.cfg/default",
    ]


WORDS = st.sampled_from(
    [b"DEFAULT ", b"LABEL ", b"\n", b"KERNEL ", b"APPEND ", b"a", b" -", b"PROMPT 1", b"TIMEOUT 0x", b"\0"]
)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=30).map(b"".join)))
def test_garbage_raises_its_own_error_or_none(text: bytes) -> None:
    try:
        config = parse(text)
        automatic(config, VALUES).command_line()
        command(config, "a b", VALUES).initrds()
    except ConfigurationError:
        pass
