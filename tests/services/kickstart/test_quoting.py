"""Hostile values in every place that the filters are for: each stays one word, or one value, or is refused."""

import shlex
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.kickstart import quoting
from services.kickstart.facts import Select
from services.kickstart.sandbox import RenderError
from services.kickstart.values import Multiline, ValueRefused, is_plain, named
from tests.services.kickstart.examples import order, sandbox

PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029"), max_size=60)
NASTY = st.text(st.sampled_from(list("'\"\\$`;%#&|<>(){}[]!*?~ \t\n\rab-=,")), max_size=40)


@given(PLAIN | NASTY.filter(is_plain))
@example("%end")
@example("'; rm -rf / #")
def test_a_shell_word_stays_one_word(value: str) -> None:
    assert shlex.split(f"x {quoting.shell(value)} y") == ["x", value, "y"]


@given(PLAIN | NASTY.filter(is_plain))
@example("")
@example("%packages")
@example("a --password=b")
def test_a_kickstart_word_is_read_back_as_pykickstart_splits(value: str) -> None:
    assert shlex.split(f"user --name={quoting.kickstart(value)} z", comments=True) == ["user", f"--name={value}", "z"]


def test_a_real_shell_reads_shell_words_as_they_were() -> None:
    values = ["%end", "a'b", "$(id)", "`id`", "a\\", '"', "é", ""]
    words = " ".join(map(quoting.shell, values))
    said = subprocess.run(["sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, check=True)
    assert said.stdout.decode().split("\n")[:-1] == values


@given(NASTY)
def test_only_names_are_packages(value: str) -> None:
    try:
        line = quoting.package(value)
    except ValueRefused:
        return
    assert line == value
    assert not set(line) & set("\n\r \t%#;$`'\"")


@pytest.mark.parametrize("name", ["vim", "-iwl*", "@core", "@^minimal-environment", "-@standard", "glibc.i686", "c++"])
def test_packages_groups_and_environments_are_taken(name: str) -> None:
    assert quoting.package(name) == name


@pytest.mark.parametrize(
    ("value", "path"), [("sda", "/dev/sda"), ("/dev/nvme0n1", "/dev/nvme0n1"), ("disk/by-id/x", "/dev/disk/by-id/x")]
)
def test_a_disk_is_named_with_and_without_dev(value: str, path: str) -> None:
    assert quoting.device(value) == path
    assert quoting.disk(value) == path.removeprefix("/dev/")


@pytest.mark.parametrize("value", ["", "/etc/passwd", "../sda", "disk/../../etc", "sda --foo", "sda;id", "-x", "sd\na"])
def test_what_is_no_disk_is_refused(value: str) -> None:
    with pytest.raises(ValueRefused, match="is not a disk"):
        quoting.disk(value)


def test_a_preseed_value_does_not_swallow_the_next_line() -> None:
    with pytest.raises(ValueRefused, match="backslash"):
        quoting.preseed("x\\")


def test_shell_code_becomes_one_continued_line() -> None:
    assert quoting.oneline("# a comment\nif a; then\n  b;\n\nfi;\n") == "if a; then \\\n    b; \\\n  fi;"
    with pytest.raises(ValueRefused, match="backslash"):
        quoting.oneline("a \\\nb")


@given(st.text(max_size=60))
def test_text_of_several_lines_is_revealed_by_lines_and_script_alone(text: str) -> None:
    value = named("vars.x", text)
    if is_plain(text):
        assert value == text
        return
    assert isinstance(value, Multiline)
    for filter in (str, quoting.shell, quoting.kickstart, quoting.preseed, quoting.package, quoting.disk, quoting.grub):
        with pytest.raises(ValueRefused, match="line break") as refused:
            filter(value)
        assert refused.value.variable == "vars.x"


def test_lines_refuse_what_is_hidden_in_a_line() -> None:
    assert quoting.lines(Multiline("x", "a\nb\n")) == ["a", "b"]
    assert quoting.script(Multiline("x", "a\nb")) == "a\nb\n"
    with pytest.raises(ValueRefused, match="control character"):
        quoting.lines(Multiline("x", "a\nb\x1b[2J"))


@settings(max_examples=60, deadline=None)
@given(st.recursive(NASTY | st.integers() | st.booleans(), lambda inner: st.lists(inner, max_size=3)))
def test_no_variable_writes_a_second_line_into_the_built_in_kickstart(value: object) -> None:
    """Whatever a variable holds: the file has the commands that it always has, or it is refused with the line."""
    room = sandbox()
    try:
        text = room.write("redhat.ks.j2", _context({"language": value, "timezone": value}), "ks.cfg")
    except RenderError as error:
        text = room.write("redhat.ks.j2", _context({}), "ks.cfg")
        refused = error.problem.line
    else:
        refused = None
    assert [line.split(" ")[0] for line in text.splitlines()] == COMMANDS
    assert refused is None or not is_plain(str(value))


def _context(variables: dict[str, object]) -> dict[str, object]:
    return Select(order(variables={"disk": "vda"} | variables)).install_context("52:54:00:00:00:01")


COMMANDS = [line.split(" ")[0] for line in sandbox().write("redhat.ks.j2", _context({}), "ks.cfg").splitlines()]
