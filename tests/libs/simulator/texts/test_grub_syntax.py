import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.simulator.errors import ConfigurationError
from libs.simulator.texts.grub_syntax import For, Function, If, Part, Simple, While, parse


def words(statement: object) -> list[str]:
    assert isinstance(statement, Simple)
    return ["".join(f"<{part.text}>" if part.variable else part.text for part in word) for word in statement.words]


def test_commands_quotes_comments_and_continuations() -> None:
    script = parse('set a="x y" # why\necho \'$b\' "$b" ${c}d\\ e; linux /k \\\n  q=1 z="a b"\n\n')
    assert [words(statement) for statement in script] == [
        ["set", "a=x y"],
        ["echo", "$b", "<b>", "<c>d e"],
        ["linux", "/k", "q=1", "z=a b"],
    ]


def test_what_is_quoted_stays_whole() -> None:
    (statement,) = parse('echo "$a b" $a')
    assert isinstance(statement, Simple)
    _, quoted, bare = statement.words
    assert quoted == (Part("", quoted=True), Part("a", variable=True, quoted=True), Part(" b", quoted=True))
    assert bare == (Part("a", variable=True),)


def test_branches_and_loops() -> None:
    script = parse(
        "if [ $a = b ]; then\n x\nelif y; then z\nelse\n w; fi\n"
        "for i in a b; do echo $i; done\nwhile true; do x; done\nuntil false\ndo x\ndone\nfunction f {\n echo $1\n}\n"
    )
    branch, loop, first, second, function = script
    assert isinstance(branch, If)
    assert (len(branch.branches), [words(one) for one in branch.otherwise]) == (2, [["w"]])
    assert isinstance(loop, For)
    assert (loop.variable, len(loop.words), len(loop.body)) == ("i", 2, 1)
    assert isinstance(first, While)
    assert isinstance(second, While)
    assert (first.until, second.until) == (False, True)
    assert isinstance(function, Function)
    assert function.name == "f"


def test_a_menu_entry_has_a_block() -> None:
    (entry,) = parse("menuentry 'Install it' --id install {\n linux /k\n initrd /i\n}\n")
    assert isinstance(entry, Simple)
    assert words(entry) == ["menuentry", "Install it", "--id", "install"]
    assert entry.block is not None
    assert [words(one) for one in entry.block] == [["linux", "/k"], ["initrd", "/i"]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("echo a && echo b", 1),
        ("echo a\necho b || true\n", 2),
        ("if true; then\necho a\n", 3),
        ("if true then\n echo; fi\n", 2),
        ("fi", 1),
        ("echo 'open", 1),
        ('\necho "open', 2),
        ("echo $", 1),
        ("echo ${a", 1),
        ("menuentry x {\n", 2),
        ("}", 1),
        ("echo a > b", 1),
        ("{ echo a }", 1),
    ],
)
def test_a_syntax_error_names_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=f"syntax error in line {line}"):
        parse(text)


def test_blocks_have_a_bottom() -> None:
    with pytest.raises(ConfigurationError, match="nested deeper"):
        parse("if true; then\n" * 5000)


PIECES = st.sampled_from(
    ["if ", "then", "fi", ";", "\n", "{", "}", "$a", '"', "'", "\\", "menuentry x ", "for i in ", "do ", "done"]
)


@settings(max_examples=400)
@given(st.one_of(st.text(max_size=100), st.lists(PIECES, max_size=30).map("".join)))
def test_garbage_raises_its_own_error_or_none(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse(text)
