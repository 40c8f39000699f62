"""Runs a program in this process's place that the kernel ends when the supervisor dies, however it dies.

Called by its file name with the supervisor's process id and the program: Python between fork and exec would not be
safe in a program with threads, so this small one does between two execs what a `preexec_fn` would do.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Become the program; returns only where the supervisor is gone already."""
    parent, program = int(argv[0]), argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == parent:
        os.execvp(program[0], program)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
