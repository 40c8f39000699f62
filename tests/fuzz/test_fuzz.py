"""A short walk of the fuzzer with every test run; `make fuzz` goes a million inputs far."""

import importlib.util
import subprocess
import sys

import pytest

from tests.fuzz import TARGETS
from tests.support import needs

RUNS = 50_000


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_is_an_error_or_breaks_a_promise(target: str) -> None:
    if not importlib.util.find_spec("atheris"):
        needs.missing("atheris has no build for this Python or processor")
    command = [sys.executable, "-m", "tests.fuzz", target, "--runs", str(RUNS)]
    walked = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert walked.returncode == 0, walked.stdout[-2000:] + walked.stderr[-4000:]
    assert f"{RUNS} inputs" in walked.stdout
    assert ", 0 answered" not in walked.stdout, "the walk never went beyond the decoder"
