"""What a piece of work takes of memory, measured in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

_PEAK = "\nprint(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"


def peak_megabytes(work: str, *arguments: str | Path) -> float:
    """Return the largest resident set of a process that does the work and nothing else.

    The kernel's mark for the program itself: ``ru_maxrss`` begins with the size of who started it.
    One thread, so that how many cores there are makes no difference.

    Args:
        work: Python, which finds the arguments in ``sys.argv[1:]``.
        arguments: Passed on.
    """
    code = f"import sys\nfrom pathlib import Path\n{work}{_PEAK}"
    output = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=1_800,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout
    return int(output.split()[-1]) / 1024
