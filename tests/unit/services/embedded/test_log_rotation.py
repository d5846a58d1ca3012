"""Logs that grow large are moved aside, also while a process writes them and people read along."""

import os
from pathlib import Path

import pytest

from services.embedded import logs

LINE = b"x" * 99 + b"\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LOG_BYTES", 1_000)


def test_one_that_is_written_goes_on_at_its_beginning_and_three_are_kept(tmp_path: Path):
    log = tmp_path / "crawl.log"
    follower = None
    read: list[str] = []
    with log.open("ab") as process:
        for n in range(60):
            os.write(process.fileno(), b"%02d" % n + LINE[2:])
            follower = follower or logs.Follower([("crawl", log)])
            read += [line.text[:2] for line in follower.lines()]
            logs.rotate_written(log)
    assert follower is not None
    follower.close()
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["crawl.log", "crawl.log.1", "crawl.log.2", "crawl.log.3"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) == 1_000
    kept = (tmp_path / "crawl.log.1").read_bytes()
    assert kept.startswith(b"50")
    assert kept.count(b"\n") == 10
    assert read == [f"{n:02d}" for n in range(1, 60)], "who reads along misses nothing"


def test_a_small_one_stays(tmp_path: Path):
    log = tmp_path / "api.log"
    log.write_bytes(LINE)
    assert not logs.rotate_written(log)
    assert not logs.rotate_written(tmp_path / "none.log")
    assert [path.name for path in tmp_path.iterdir()] == ["api.log"]
