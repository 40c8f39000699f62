"""What a hostile template can cost: the worker's bounds on time and memory, and its own life."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kickstart.sandbox import Problem, RenderError
from services.kickstart.workshop import Workshop
from tests.services.kickstart.examples import order

HOSTILE = {
    "loop": ("\n{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}\n{% endfor %}", "more time"),
    "string": ("\n{{ 'x' * 10**10 }}", "more memory"),
    "doubling": (
        "{% set n = namespace(x='x' * 1000) %}\n{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "more memory",
    ),
    "padding": ("\n{{ '%10000000000d'|format(1) }}", "more memory"),
    "output": ("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "more than 1048576 characters"),
    "range": ("\n{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    "recursion": ("{% include 'recursion.j2' %}", "without end"),
    "macro": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "without end"),
    "class": ("\n{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "globals": ("\n{{ cycler.__init__.__globals__ }}", "unsafe"),
    "format": ("\n{{ '{0.__class__}'.format(1) }}", "unsafe"),
    "mutation": ("\n{{ machine.macs.append('x') }}", "unsafe"),
    "python": ("\n{{ config }}{{ self.__init__ }}", "not defined"),
    "file": ("\n{% include '/etc/passwd' %}", "there is no template"),
}


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    made = Workshop(tmp_path, lambda _problems: None)
    yield made
    await made.close()


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_template_is_an_error_and_the_next_one_is_served(
    tmp_path: Path, workshop: Workshop, name: str
) -> None:
    text, message = HOSTILE[name]
    (tmp_path / f"{name}.j2").write_text(text)
    with pytest.raises(RenderError, match=message) as refused:
        await workshop.answers(order(answers=f"{name}.j2"))
    assert refused.value.problem.template == f"{name}.j2"
    assert "cmdline" in (await workshop.answers(order())).text


async def test_a_step_that_python_cannot_interrupt_ends_the_worker(tmp_path: Path) -> None:
    """One multiplication of endless numbers: the clock's exception never comes; the process is ended."""
    (tmp_path / "own.j2").write_text("{{ (10 ** 100000000) ** 1000 }}")
    workshop = Workshop(tmp_path, lambda _problems: None)
    with pytest.raises(RenderError, match=r"(time|memory) than it may have"):
        await workshop.answers(order(answers="own.j2"))
    assert (await workshop.answers(order())).document == "ks.cfg"
    await workshop.close()


async def test_a_worker_that_died_is_replaced(workshop: Workshop) -> None:
    await workshop.answers(order())
    os.kill(children()[0], signal.SIGKILL)
    with pytest.raises(RenderError):
        await workshop.answers(order())
    assert (await workshop.answers(order())).document == "ks.cfg"


async def test_an_interrupted_question_does_not_answer_the_next_one(workshop: Workshop) -> None:
    await workshop.answers(order())
    asking = asyncio.create_task(workshop.answers(order(name="first")))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert "# second." in (await workshop.answers(order(name="second"))).text


async def test_many_at_once_each_get_their_own(workshop: Workshop) -> None:
    names = [f"node{number}" for number in range(40)]
    answers = await asyncio.gather(*(workshop.answers(order(name=name)) for name in names))
    assert all(f"# {name}.lab" in answer.text for name, answer in zip(names, answers, strict=True))


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, lambda _problems: None)
    await workshop.answers(order())
    (worker,) = children()
    await workshop.close()
    assert not Path(f"/proc/{worker}").exists()
    with pytest.raises(RenderError, match="stops"):
        await workshop.answers(order())


async def test_templates_passed_over_are_told_with_each_answer(tmp_path: Path) -> None:
    told: list[list[Problem]] = []
    workshop = Workshop(tmp_path, told.append)
    (tmp_path / "own.j2").write_text("good\n")
    assert (await workshop.answers(order(answers="own.j2"))).text == "good\n"
    (tmp_path / "own.j2").write_text("{{ unclosed\n")
    assert (await workshop.answers(order(answers="own.j2"))).text == "good\n"
    inspected = await workshop.inspect(order(answers="own.j2"), validate=False)
    assert "unexpected end of template" in inspected.problems[0].message
    await workshop.close()
    assert [len(problems) for problems in told] == [0, 1, 1]


def children() -> list[int]:
    """This process's workers."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            status, command = (entry / "stat").read_text(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if status.rpartition(")")[2].split()[1] == str(os.getpid()) and b"services.kickstart.worker" in command:
            found.append(int(entry.name))
    return found
