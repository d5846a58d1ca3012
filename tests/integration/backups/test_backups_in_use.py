"""Backups as an operator has them: under load, killed, by a schedule, in a bucket, by commands."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.backups import standing
from services.backups.checking import verify
from services.backups.creating import create
from services.backups.target import Target
from services.context import Context
from services.embedded import Endpoints
from services.policy import ownership
from services.work import jobs
from tests.support.cli import settings_of, tubegrader, tubegrader_started
from tests.support.embedded import wait_until
from tests.support.kept import NOW, collect, objects_of, restored, rows_of

pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target.of(str(tmp_path / "backups"))


@pytest.fixture
def kept(context: Context) -> Context:
    collect(context, 0, 300)
    ownership.claim(context)
    return context


@contextmanager
def writers(context: Context) -> Iterator[None]:
    """Two threads that collect without end, each video with its rows and picture in one go."""
    stop = threading.Event()

    def write(first: int) -> None:
        while not stop.is_set():
            first += 10
            collect(context, first, 10)

    threads = [threading.Thread(target=write, args=(start,)) for start in (100_000, 200_000)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_backup_under_load_is_of_one_moment_and_complete(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    seen: list[str] = []

    def gone_on(_done: int, _total: int, what: str) -> None:
        # What is collected from here on is of after the moment.
        if what == "storing the dump":
            seen.extend(kept.store.names())

    with writers(kept):
        made = create(kept, target, progress=gone_on)
        wait_until(lambda: len(kept.store.names()) > len(seen), "somebody went on writing")
    assert made.missing == 0
    assert verify(target, ["newest"], now=NOW).clean
    with restored(endpoints, target, tmp_path / "other") as (_, copy):
        rows, objects = rows_of(str(copy.settings.database_url)), objects_of(copy)
        originals = rows_of(str(kept.settings.database_url))
        assert len(rows["thumbnails"]) == len(objects) == made.objects
        assert len(rows["videos"]) == len(rows["video_thumbnails"]) == made.objects
        assert set(rows["thumbnails"]) <= set(originals["thumbnails"])
        assert objects.items() <= objects_of(kept).items()


def test_a_killed_backup_is_gone_on_with(kept: Context, target: Target, tmp_path: Path):
    collect(kept, 10_000, 5_000)
    command = [sys.executable, "-m", "services.cli.main", "backups", "create", "--at", target.url]
    process = subprocess.Popen(command, env={**os.environ, **settings_of(kept)})
    try:
        wait_until(target.packs, "a pack is there")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = sum(len(target.index(pack)) for pack in target.packs())
    assert target.ids() == []
    deadline = time.monotonic() + 60
    made = create(kept, target)
    assert time.monotonic() < deadline
    assert made.objects == 5_300
    assert made.new_objects == 5_300 - there
    assert verify(target, ["newest"], now=NOW).clean


class Job:
    """A job that somebody watches and nobody cancels."""

    def progress(self, *_: object) -> None:
        """Take note of nothing."""


def test_the_job_makes_one_reads_it_again_and_lets_go_of_old_ones(kept: Context, target: Target):
    kept.settings = kept.settings.model_copy(update={"backup_url": target.url})
    kept.clock = lambda: NOW
    assert standing.standing(kept.settings, now=NOW).problem == "there is none yet"
    result = standing.work(kept, Job())  # type: ignore[arg-type]
    assert result["checked"]["clean"]
    found = standing.standing(kept.settings, now=NOW)
    assert (found.problem, found.newest_checked) == (None, NOW)
    later = standing.standing(kept.settings, now=NOW + 2 * standing.OVERDUE)
    assert later.problem == "the newest is 4 days old"
    assert uuid.UUID(str(jobs.submit(kept, "backup", {})))


def test_the_commands_take_a_home_to_another_one(tmp_path: Path):
    first, other = tmp_path / "first", tmp_path / "other"
    at = ("--at", str(tmp_path / "backups"))

    def run(home: Path, *words: str):
        done = tubegrader_started(*words, env={"TUBEGRADER_HOME": str(home)})
        assert done.code == 0, done.err
        return done.out

    run(first, "work", "pause", "--reason", "moving")
    run(first, "backup", "create", *at)
    assert "unchecked" in run(first, "backups", "list", *at)
    assert "all whole" in run(first, "backups", "verify", *at)
    assert "would restore" in run(other, "backups", "restore", *at, "--dry-run")
    run(other, "backups", "restore", *at, "--yes")
    assert "moving" in run(other, "work", "blockers")
    refused = tubegrader_started(
        "backups", "restore", *at, "--yes", env={"TUBEGRADER_HOME": str(other)}
    )
    assert refused.code == 2
    assert "not empty" in refused.err


def test_a_bucket_keeps_them_too(
    kept: Context, endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = os.environ.get("MOTO_SERVER")
    if program is None:
        pytest.skip("MOTO_SERVER names no moto_server")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("AWS_ENDPOINT", url)
    server = subprocess.Popen(
        [program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def make_bucket() -> bool:
            try:
                request = urllib.request.Request(f"{url}/backups", method="PUT")
                return bool(urllib.request.urlopen(request).status == 200)
            except OSError:
                return False

        wait_until(make_bucket, "the bucket is made")
        target = Target.of("s3://backups/tubegrader")
        create(kept, target)
        assert create(kept, target).new_objects == 0
        assert verify(target, [], now=NOW).clean
        with restored(endpoints, target, tmp_path / "other") as (_, copy):
            assert objects_of(copy) == objects_of(kept)
    finally:
        server.terminate()
        server.wait()


def test_a_command_names_what_is_lacking(kept: Context):
    ran = tubegrader("backups", "list", env=settings_of(kept))
    assert ran.code == 2
    assert "TUBEGRADER_BACKUP_URL" in ran.err
