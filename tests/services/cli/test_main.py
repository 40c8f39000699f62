"""The program's ends: help, wrong use, faults; each with its exit code and never a traceback."""

import json

import pytest
from _pytest.capture import CaptureFixture
from click.testing import CliRunner

from services.cli import main as program
from services.cli.main import MODULES, VERBS, kickfleet, main


def test_the_help_shows_every_verb_in_its_section() -> None:
    text = CliRunner().invoke(kickfleet, ["--help"]).output
    places = [text.index(f"\n  {name} ") for name in MODULES]
    assert places == sorted(places)
    assert all(f"\n{heading}:" in text for heading in VERBS)


@pytest.mark.parametrize("name", MODULES)
def test_every_verb_explains_itself_and_takes_the_common_options(name: str) -> None:
    result = CliRunner().invoke(kickfleet, [name, "--help"])
    assert result.exit_code == 0
    assert "--config FILE" in result.output
    assert "--json" in result.output
    assert result.output.splitlines()[2].strip(), "it has a sentence"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["tial"], "there is no verb `tial`; did you mean `tail`?"),
        (["zzzzzz"], "there is no verb `zzzzzz`; see `kickfleet --help`"),
        (["machines", "--sate", "x"], "there is no option `--sate`; did you mean `--state`?"),
        (["install"], "missing argument 'SELECTOR...'; see `kickfleet install --help`"),
        (["simulate", "5", "--relay", "here"], "'here' is not an IPv4 address"),
        (["simulate", "--relay", "127.0.0.1"], "say either how many machines, or which registered ones"),
        (["simulate", "5", "--relay", "127.0.0.1", "--firmware", "vax"], "'vax' is no share of bios, uefi, ipxe"),
        (["demo", "--machines", "0"], "0 is not in the range"),
        (["machines", "--config", "/no/such/file"], "there is no configuration file /no/such/file"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(argv: list[str], message: str, capsys: CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kickfleet: ")
    assert message in err
    assert err.count("\n") == 1


def test_no_verb_at_all_shows_the_help(capsys: CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: kickfleet" in capsys.readouterr().out


def test_json_errors_have_stable_fields(capsys: CaptureFixture[str]) -> None:
    assert main(["machines", "--json", "--config", "/no/such/file"]) == 2
    error = json.loads(capsys.readouterr().err)
    assert set(error) == {"error", "exit_code", "problems"}
    assert error["exit_code"] == 2


def test_the_common_options_may_stand_anywhere(capsys: CaptureFixture[str]) -> None:
    assert main(["--json", "--config", "/no/such/file", "machines"]) == 2
    assert json.loads(capsys.readouterr().err)["error"].startswith("there is no configuration file")


def test_a_fault_of_ours_is_told_without_a_traceback(
    capsys: CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(program.kickfleet, "main", broken)
    assert main(["machines"]) == 1
    err = capsys.readouterr().err
    assert "this is a fault of kickfleet itself: RuntimeError: boom" in err
    assert "Traceback" not in err


def test_the_version_is_the_projects(capsys: CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kickfleet ")
