"""The folder in which the processes of a worker's pool count: gone when its worker is."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = (
    "import os, signal, sys\n"
    "from services.metrics import serving\n"
    "from services.settings import Settings\n"
    "serving.prepare_pool(Settings(metrics_port=9464), lambda: 'worker')\n"
    "print(os.environ[serving.FOLDER], flush=True)\n"
)


def begin(then: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def folder_of(worker: subprocess.Popen[str]) -> Path:
    assert worker.stdout is not None
    return Path(worker.stdout.readline().strip())


def test_what_killed_workers_left_goes_with_the_next_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "tubegrader-metrics-notes").mkdir()
    with begin("sys.stdin.read()") as alive:
        working = folder_of(alive)
        for _ in range(3):
            with begin("os.kill(os.getpid(), signal.SIGKILL)") as killed:
                left = folder_of(killed)
            assert left.is_dir()
        assert {each.name for each in tmp_path.iterdir()} == {
            "tubegrader-metrics-notes",
            working.name,
            left.name,
        }
        alive.terminate()
