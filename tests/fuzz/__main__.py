"""Coverage-guided fuzzing: `python -m tests.fuzz dhcp --runs 1000000`.

atheris (libFuzzer) instruments the code under test and mutates packets that were captured from real firmware. An
exception, a broken promise or memory that grows ends the run with the input that did it in a file, and exit code 1.
"""

import argparse
import gc
import importlib
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import atheris

from tests.fuzz import TARGETS

GROWTH = 20_000  # objects more than a tenth of the way in: what caches and the fuzzer itself may come to


class Target(Protocol):
    """A module of this folder."""

    def seeds(self) -> list[bytes]:
        """Inputs to begin with."""

    def run(self, data: bytes) -> bool:
        """Put one input in; whether it drew an answer. Raises AssertionError where a promise is broken."""


def counted(run: Callable[[bytes], bool], runs: int) -> Callable[[bytes], None]:
    """The target, with a look at memory a tenth of the way in and at the end, and a line that says what was done."""
    done, answered, before = 0, 0, 0

    def one(data: bytes) -> None:
        nonlocal done, answered, before
        answered += run(data)
        done += 1
        if done == runs // 10:
            before = objects()
        if done == runs:
            after = objects()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            said = f"{done} inputs, {answered} answered; {before} objects, then {after}; at most {memory} MiB"
            print(said, flush=True)  # libFuzzer ends the process without Python's farewells
            assert after - before < GROWTH, "memory grows"

    return one


def objects() -> int:
    """How many objects are alive."""
    gc.collect()
    return len(gc.get_objects())


def main() -> None:
    """Fuzz one target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with atheris.instrument_imports(include=["libs.wire", "services"]):
        target: Target = importlib.import_module(f"tests.fuzz.{chosen.target}")
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.seeds()):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        options = [
            f"-runs={chosen.runs}",
            f"-seed={chosen.seed}",
            "-max_len=1500",
            "-timeout=10",
            "-print_final_stats=0",
        ]
        found = [f"-artifact_prefix={tempfile.gettempdir()}/kickfleet-fuzz-{chosen.target}-"]
        atheris.Setup([sys.argv[0], *options, *found, folder], counted(target.run, chosen.runs))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
