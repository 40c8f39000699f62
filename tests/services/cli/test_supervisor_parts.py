"""The supervisor's parts by themselves: relayed lines, the run folder, a program's keeper."""

import asyncio
import sys
from pathlib import Path

import pytest

from services.cli.errors import WrongUse
from services.cli.supervisor import runfiles
from services.cli.supervisor.keeper import Keeper, SetUpWrongly
from services.cli.supervisor.notices import Notice
from services.cli.supervisor.programs import launcher
from services.cli.supervisor.relay import LONGEST_LINE, relay
from tests.support.running import settings_in
from tests.support.waiting import until


async def test_lines_are_passed_on_whole_and_the_last_is_remembered() -> None:
    source, written = asyncio.StreamReader(), list[bytes]()
    task = asyncio.create_task(relay(source, written.append))
    source.feed_data(b"one\ntw")
    await until(lambda: written == [b"one\n"])
    source.feed_data(b"o\n\n")
    source.feed_data(b"three")
    source.feed_eof()
    assert await task == "three"
    assert b"".join(written) == b"one\ntwo\n\nthree\n"


async def test_a_line_without_end_does_not_fill_the_memory() -> None:
    source, written = asyncio.StreamReader(), list[bytes]()
    task = asyncio.create_task(relay(source, written.append))
    source.feed_data(b"x" * (LONGEST_LINE + 1))
    await until(lambda: bool(written))
    source.feed_data(b"\nend\n")
    source.feed_eof()
    assert await task == "end"


def test_the_run_folder_is_one_supervisors_and_left_empty(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "dhcp").write_text("stale\n")
    with runfiles.claimed(run):
        assert [file.name for file in run.iterdir()] == ["up.pid"]
        with pytest.raises(WrongUse, match="another `kickfleet up`"), runfiles.claimed(run):
            pytest.fail("claimed twice")
        runfiles.write_pid(run, "dhcp", 42)
        assert (run / "dhcp.pid").read_text() == "42\n"
    assert list(run.iterdir()) == []


def test_where_a_service_listens_is_read_from_what_it_announced(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert runfiles.announced(settings, "dhcp") is None
    run = settings.data / "run"
    run.mkdir(parents=True)
    (run / "dhcp").write_text("127.0.0.1:67\n")
    (run / "dhcp.status").write_text("127.0.0.1:8067\n")
    (run / "inventory").write_text("nonsense\n")
    assert str(runfiles.announced(settings, "dhcp")) == "127.0.0.1:67"
    assert str(runfiles.status_page(settings, "dhcp")) == "127.0.0.1:8067"
    assert runfiles.status_page(settings, "inventory") is None


class _Program:
    """Ends with the next of the given codes as soon as it is started; after the last it runs until it is stopped."""

    name = "thing"

    def __init__(self, *codes: int | OSError) -> None:
        self.codes = list(codes)
        self.starts = 0
        self.stopped = asyncio.Event()

    async def start(self) -> int:
        self.starts += 1
        if self.codes and isinstance(self.codes[0], OSError):
            error = self.codes.pop(0)
            assert isinstance(error, OSError)
            raise error
        return 4711

    async def wait(self) -> tuple[int, str]:
        if self.codes:
            code = self.codes.pop(0)
            assert isinstance(code, int)
            return code, "last words"
        await self.stopped.wait()
        return 0, ""

    async def stop(self) -> None:
        self.stopped.set()


async def test_a_keeper_starts_again_and_says_why(tmp_path: Path) -> None:
    said: list[Notice] = []
    program = _Program(-9, 1, OSError("no more processes"))
    keeper = Keeper(program, tmp_path, said.append)
    task = asyncio.create_task(keeper.keep())
    await until(lambda: program.starts == 4 and (tmp_path / "thing.pid").exists())
    keeper.let_go()
    await task
    assert [notice.message for notice in said] == [
        "was ended by SIGKILL; starting again in 0.1 s",
        "ended with exit code 1 (last words); starting again in 0.2 s",
        "does not start: no more processes; trying again in 0.4 s",
    ]
    assert program.stopped.is_set()
    assert not (tmp_path / "thing.pid").exists()


async def test_code_2_is_final_only_before_it_was_ever_ready(tmp_path: Path) -> None:
    said: list[Notice] = []
    with pytest.raises(SetUpWrongly, match="thing"):
        await Keeper(_Program(2), tmp_path, said.append).keep()
    assert said == []
    program = _Program(2)
    keeper = Keeper(program, tmp_path, said.append)
    keeper.served = True
    task = asyncio.create_task(keeper.keep())
    await until(lambda: program.starts == 2)
    keeper.let_go()
    await task
    assert len(said) == 1


async def test_a_program_whose_starter_is_gone_does_not_run(tmp_path: Path) -> None:
    command = launcher()
    command[-1] = "1"  # as if somebody else had started it, who is its parent no more
    mark = tmp_path / "ran"
    process = await asyncio.create_subprocess_exec(*command, sys.executable, "-c", f"open({str(mark)!r}, 'w')")
    assert await process.wait() == 1
    assert not mark.exists()
