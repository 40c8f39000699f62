"""Answer files that no installer would take are found out, with the line; nothing that they name is opened."""

import pytest

from services.kickstart.validate import kickstart_flaws, preseed_flaws


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense\n", 1),
        ("cmdline\nlang\n", 2),
        ("autopart --type=zfs9\n", 1),
        ("%packages\nvim\n", 2),
        ("%nosuch\n%end\n", 1),
        ("rootpw --iscrypted\n", 1),
        ('lang "unclosed\n', None),
        ("reboot\nreboot --nosuch\n", 2),
    ],
)
def test_a_kickstart_with_a_flaw(text: str, line: int | None) -> None:
    (flaw,) = kickstart_flaws(text, "RHEL9")
    assert flaw.message
    assert line is None or flaw.line == line


def test_what_a_kickstart_includes_is_not_opened() -> None:
    assert kickstart_flaws("%include /etc/shadow\n%ksappend http://127.0.0.1:9/x\nreboot\n", "RHEL9") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d-i a/b string x\nnonsense\n", "is not `owner question type value`"),
        ("d-i nosection string x\n", "is not `owner question type value`"),
        ("d-i a/b strong x\n", "unknown type 'strong'"),
        ("d-i a/b boolean yes\n", "true or false"),
        ("d-i a/b string x \\\n", "within a continued line"),
    ],
)
def test_a_preseed_with_a_flaw(text: str, message: str) -> None:
    (flaw,) = preseed_flaws(text)
    assert message in flaw.message
    assert flaw.line == text.count("\n")


def test_a_preseed_without_flaw() -> None:
    text = "# x\n\nd-i a/b string\nd-i a/b string x\nd-i a/b seen true\nd-i c/d string 1 \\\n  2 \\\n  3\n"
    assert preseed_flaws(text + "x y/z boolean true\n") == []
