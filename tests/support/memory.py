"""What a piece of work takes of memory, measured in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SAY = """
import sys
from pathlib import Path
def say(which):
    print("takes", Path("/proc/self/status").read_text().split(which)[1].split()[0], flush=True)
def say_size():
    import ctypes
    ctypes.CDLL(None).malloc_trim(0)
    say("VmRSS:")
"""
_END = "\nimport os; os._exit(0)\n"
"""Libraries' threads that are taken down with the interpreter abort it now and then."""


def peak_megabytes(work: str, *arguments: str | Path) -> float:
    """Return the largest resident set of a process that does the work and nothing else.

    The kernel's mark for the program itself: ``ru_maxrss`` begins with the size of who started it.
    One thread, so that how many cores there are makes no difference.

    Args:
        work: Python, which finds the arguments in ``sys.argv[1:]``.
        arguments: Passed on.
    """
    return _said(f"{work}\nsay('VmHWM:')\n", arguments)[-1]


def sizes_megabytes(work: str, *arguments: str | Path) -> list[float]:
    """Return the resident sets of such a process at the moments at which it calls ``say_size()``.

    Without what is taken for a moment, which depends on how threads come to meet: what is free by
    then is given back to the system first, into which a leak would go unseen.
    """
    return _said(work, arguments)


def _said(work: str, arguments: Sequence[str | Path]) -> list[float]:
    output = subprocess.run(
        [sys.executable, "-c", f"{_SAY}{work}{_END}", *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=1_800,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout
    said = [line.split() for line in output.splitlines() if line.startswith("takes ")]
    return [int(kilobytes) / 1024 for _, kilobytes in said]
