"""Sound files broken at random get an answer or a reason: no traceback, no hang, no flood."""

import json
import os
import subprocess
import sys

import pytest

WORK = """
import json, sys, warnings
from pathlib import Path
from tests.support.broken_sound import try_for

warnings.simplefilter("error")
tried = try_for(float(sys.argv[1]), seed=int(sys.argv[2]))
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(json.dumps([*tried, int(peak) // 1024]))
"""
MOST_MEGABYTES = 600
"""Of a process that needs some 200 for libraries and a detector."""


@pytest.mark.parametrize(("seconds", "seed"), [(8, 0), pytest.param(60, 1, marks=pytest.mark.slow)])
def test_every_broken_file_gets_an_answer_or_a_reason_by_both_doors(seconds, seed):
    # A process of its own: what breaks in native code ends it, and its memory is its own.
    ran = subprocess.run(
        [sys.executable, "-c", WORK, str(seconds), str(seed)],
        capture_output=True,
        text=True,
        timeout=seconds + 100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    tried, answered, reasons, megabytes = json.loads(ran.stdout.splitlines()[-1])
    assert answered + sum(reasons.values()) == tried > 20
    assert answered > tried / 10
    assert {"truncated", "notAudio"} <= reasons.keys()
    assert "decoderFailed" not in reasons, "what is foreseen has a better reason"
    assert megabytes < MOST_MEGABYTES
