"""Some hundred mutated inputs at each door, the same ones every day.

``python -m tests.fuzz --door NAME --minutes 10 --seed N`` tries as many others as one likes.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.doors import DOORS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("door", DOORS)
def test_mutated_inputs_are_taken_or_refused(door: str, tmp_path: Path) -> None:
    tried = DOORS[door].tested
    command = [sys.executable, "-m", "tests.fuzz", "--door", door, "--inputs", str(tried)]
    ran = subprocess.run(
        [*command, "--seed", "20261130", "--keep", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-4_000:]
    assert f"{door}: {tried} inputs" in ran.stdout
    assert " taken" in ran.stdout
