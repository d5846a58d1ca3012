"""How long ``tubegrader --help`` takes, against an interpreter that does nothing."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Measurement, interleaved, timed

ROUNDS = 15


def measure(*, full: bool) -> list[Measurement]:
    """Start both in turn; the median counts."""
    del full
    program = Path(sys.executable).with_name("tubegrader")
    ours = [str(program), "--help"]
    nothing = [sys.executable, "-c", "pass"]
    mine, bare = interleaved([lambda: _seconds(ours), lambda: _seconds(nothing)], rounds=ROUNDS)
    return [
        Measurement(
            "tubegrader --help",
            f"{mine * 1000:.0f} ms",
            f"python -c pass, {bare * 1000:.0f} ms",
            mine / bare,
            at_most=6,
        )
    ]


def _seconds(argv: list[str]) -> float:
    # As whoever types it has it: compiled by the first start.
    own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return timed(lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=own))
