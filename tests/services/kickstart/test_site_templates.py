"""The site's templates before the built-in ones, and what is said of them when they are wrong."""

import os
import re
from pathlib import Path

import pytest

from services.kickstart.bootconfig import boot_files
from services.kickstart.render import answers, inspect
from services.kickstart.sandbox import RenderError
from tests.services.kickstart.examples import order, sandbox
from tests.services.kickstart.test_render import rendered

BY_MAC = "52-54-00-00-00-01"


def write(site: Path, **files: str) -> None:
    """Files of the site's folder, `__` for a slash and `_` at the end for the suffix."""
    for name, text in files.items():
        path = site / f"{name.replace('__', '/')}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_template_of_the_site_extends_the_built_in_one_of_its_name(tmp_path: Path) -> None:
    name = "redhat.ks"
    (tmp_path / f"{name}.j2").write_text(
        '{% extends "builtin/redhat.ks.j2" %}\n'
        '{% block post %}{% include "snippets/motd.sh.j2" %}{% endblock %}\n'
        "{% block system %}{{ super() }}skipx\n{% endblock %}"
    )
    write(tmp_path, **{"snippets__motd.sh": "echo {{ machine.tags.rack|shell }} >/etc/motd\n"})
    files = rendered(order(tags={"rack": "r'1"}), tmp_path).files
    assert "echo 'r'\\''1' >/etc/motd\n" in files["ks.cfg"]
    assert "cmdline\n" in files["ks.cfg"]
    assert "skipx\n" in files["ks.cfg"]


def test_a_snippet_of_the_site_replaces_the_built_in_one(tmp_path: Path) -> None:
    write(tmp_path, **{"snippets__callback.sh": "kickfleet() { our-own-client $1; };\n"})
    assert "our-own-client" in answers(order(), sandbox(tmp_path)).text


def test_a_changed_template_takes_effect_at_the_next_rendering(tmp_path: Path) -> None:
    room = sandbox(tmp_path)
    what = order(answers="own.j2")
    for text in ("one\n", "other\n"):
        write(tmp_path, own=text)
        assert answers(what, room).text == text
    (tmp_path / "own.j2").unlink()
    with pytest.raises(RenderError, match="there is no template 'own\\.j2'"):
        answers(what, room)


def test_a_template_that_appears_hides_the_built_in_one_at_once(tmp_path: Path) -> None:
    room = sandbox(tmp_path)
    assert "cmdline" in answers(order(), room).text
    write(tmp_path, **{"redhat.ks": "reboot\n"})
    assert answers(order(), room).text == "reboot\n"


def test_a_broken_way_to_the_disk_is_passed_over_for_the_built_in_one(tmp_path: Path) -> None:
    write(tmp_path, **{"boot__disk.pxelinux": "LOCALBOOT {{ vars.nothing }}\n"})
    room = sandbox(tmp_path)
    what = order(netboot="disk", install=None)
    assert "LOCALBOOT -1" in boot_files(what, room).files[f"pxelinux.cfg/01-{BY_MAC}"]
    assert [problem.variable for problem in room.broken()] == ["vars.nothing"]
    write(tmp_path, **{"boot__disk.pxelinux": "LOCALBOOT 0 # mended\n"})
    assert "mended" in boot_files(what, room).files[f"pxelinux.cfg/01-{BY_MAC}"]
    assert room.broken() == []


@pytest.mark.parametrize(
    ("text", "line", "variable", "message"),
    [
        ("a\n\n{{ vars.rack }}\n", 3, "vars.rack", "vars.rack is not defined"),
        ("{{ nothing }}", 1, "nothing", "nothing is not defined"),
        ("\n{{ subnet.vlan }}", 2, "subnet.vlan", "subnet.vlan is not defined"),
        ("{{ machine.tags.rack }}", 1, "machine.tags.rack", "machine.tags.rack is not defined"),
        ("{{ vars.text }}", 1, "vars.text", "line break"),
        ("{{ vars.deep.text|shell }}", 1, "vars.deep.text", "line break"),
        ("{{ vars['text'] ~ 'x' }}", 1, "vars.text", "line break"),
        ("\n\n{% if %}", 3, None, "Expected an expression"),
        ("{{ vars.disk.__class__ }}", 1, None, "unsafe"),
        ("{% include 'gone.j2' %}", 1, None, "there is no template 'gone.j2'"),
        ("{% include '../../etc/passwd' %}", 1, None, "there is no template"),
        ("{{ machine.macs }}", 1, None, "a list is not text"),
        ("{{ vars.disk|package|nofilter }}", 1, None, "No filter named"),
        ("{{ 1 / 0 }}", 1, None, "division by zero"),
        ("{{ vars.disk + 1 }}", 1, None, "concatenate"),
    ],
)
def test_an_error_names_template_line_and_variable(
    tmp_path: Path, text: str, line: int, variable: str | None, message: str
) -> None:
    write(tmp_path, own=text)
    variables = {"disk": "vda", "text": "x\n%post\nrm -rf /", "deep": {"text": "a\rb"}}
    with pytest.raises(RenderError, match=re.escape(message)) as refused:
        answers(order(answers="own.j2", variables=variables), sandbox(tmp_path))
    problem = refused.value.problem
    assert (problem.file, problem.template, problem.line, problem.variable) == ("ks.cfg", "own.j2", line, variable)
    assert "\n" not in str(problem)


def test_an_error_in_an_included_template_names_that_one(tmp_path: Path) -> None:
    write(tmp_path, own="\n{% include 'part.j2' %}", part="\n\n{{ vars.rack }}")
    with pytest.raises(RenderError) as refused:
        answers(order(answers="own.j2"), sandbox(tmp_path))
    assert (refused.value.problem.template, refused.value.problem.line) == ("part.j2", 3)


def test_a_variable_wins_over_a_method_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, own="{{ vars.items }} {{ vars.values }} {{ vars.get }}")
    values = {"items": 1, "values": 2, "get": 3}
    assert answers(order(answers="own.j2", variables=values), sandbox(tmp_path)).text == "1 2 3"


def test_files_that_are_no_templates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.j2").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.j2").write_bytes(b"x" * 300_000)
    for name, message in (("binary.j2", "not UTF-8"), ("large.j2", "300000 bytes"), (".", "there is no template")):
        with pytest.raises(RenderError, match=message):
            answers(order(answers=name), sandbox(tmp_path))


def test_a_template_without_permission_is_refused(tmp_path: Path) -> None:
    write(tmp_path, own="x")
    os.mkfifo(tmp_path / "pipe.j2")
    with pytest.raises(RenderError, match="there is no template"):
        answers(order(answers="pipe.j2"), sandbox(tmp_path))


def test_a_flaw_in_the_answer_file_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, own="cmdline\nfrobnicate {{ vars.disk }}\nreboot\n")
    (problem,) = inspect(order(answers="own.j2"), sandbox(tmp_path), validate=True).problems
    assert (problem.file, problem.template) == ("ks.cfg", "own.j2")
    assert problem.message.startswith("line 2 as rendered, 'frobnicate vda': ")
    assert inspect(order(answers="own.j2"), sandbox(tmp_path), validate=False).problems == []
