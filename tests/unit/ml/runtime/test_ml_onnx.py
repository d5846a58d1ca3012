"""onnxruntime writes a device id and a database into a home; not where we load it."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

LISTEN = """
import sys
import numpy as np
from ml import audio
assert "onnxruntime" not in sys.modules, "loaded before anything was listened to"
assert len(audio.speech_probabilities([np.zeros(16_000, np.float32)])) == 32
assert "onnxruntime" in sys.modules
assert "torch" not in sys.modules
"""


def run(code: str, home: Path, **environment: str) -> list[str]:
    """Run Python in a new home as a user at his desk would; return the files it left there."""
    hushed = {"CI", "XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}
    outside = {
        name: value
        for name, value in os.environ.items()
        # Under a build server's variables it keeps silent by itself, and would prove nothing.
        if name not in hushed and not name.startswith(("GITHUB_", "PYTEST"))
    }
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**outside, "HOME": str(home), **environment},
        check=True,
        timeout=120,
    )
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_listening_for_speech_leaves_nothing_in_the_home(tmp_path: Path) -> None:
    if find_spec("silero_vad") is None:
        pytest.skip("the extra 'speech' is not installed")
    assert run(LISTEN, tmp_path) == []


def test_who_sets_the_variable_decides(tmp_path: Path) -> None:
    code = """
import os
from ml.runtime.onnx import load_onnxruntime
load_onnxruntime()
assert os.environ["ORT_DISABLE_TELEMETRY"] == "true"
"""
    assert run(code, tmp_path, ORT_DISABLE_TELEMETRY="true") == []
