"""The emulator as a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.emulator import fetch

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "services.emulator"]


@contextmanager
def started(ready_file: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL, once it announces itself on its first line of output."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--ready-file", str(ready_file), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "listens on http://127.0.0.1:" in line
            yield process, json.loads(ready_file.read_text())["url"]
        finally:
            process.kill()


SMALL = ("--channels", "3", "--videos", "12", "--epoch", "2026-11-01T00:00:00Z")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_announces_itself_serves_and_stops_cleanly(tmp_path, number):
    ready = tmp_path / "ready.json"
    ready.write_text("left by an earlier run")
    with started(ready, *SMALL) as (process, url):
        assert json.loads(ready.read_text())["pid"] == process.pid
        assert fetch(url).status == 200
        assert process.stdout is not None
        # Read line by line: communicate() would not see what readline() has buffered.
        lines = [process.stdout.readline().rstrip() for _ in range(5)]
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
        assert lines == [
            f"export TUBEGRADER_YOUTUBE_ENDPOINT={url}",
            f"export TUBEGRADER_THUMBNAIL_URL={url}",
            f"export TUBEGRADER_FEED_URL={url}",
            f"export TUBEGRADER_MEDIA_URL='{url}/watch?v={{video_id}}'",
            "export TUBEGRADER_YOUTUBE_API_KEY=offline",
        ]
    assert list(tmp_path.iterdir()) == []


def test_two_starts_serve_the_same_world(tmp_path):
    worlds = []
    for _ in range(2):
        with started(tmp_path / "ready.json", *SMALL) as (_, url):
            truth = json.loads(fetch(f"{url}/emulator/truth").body)
            pictures = [
                fetch(f"{url}/vi/{video['video_id']}/mqdefault.jpg").body
                for video in truth["videos"]
            ]
            fixed = [(v["video_id"], v["published_at"], v["appeal"]) for v in truth["videos"]]
            worlds.append((truth["epoch"], fixed, pictures))
    assert worlds[0] == worlds[1]


def test_a_required_key_and_a_quota_are_kept(tmp_path):
    options = ("--key", "secret", "--daily-units", "1", *SMALL)
    with started(tmp_path / "ready.json", *options) as (_, url):
        address = f"{url}/youtube/v3/channels?part=id&id=x&key="
        assert [fetch(address + key).status for key in ("other", "secret", "secret")] == [
            400,
            200,
            403,
        ]


def test_a_world_that_lives_with_its_own_clock_and_faults(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text('{"rates": {"thumbnails": {"unavailable": 1}}}', encoding="utf-8")
    options = ("--days", "9", "--clock", "manual", "--faults", str(plan))
    with started(tmp_path / "ready.json", *SMALL, *options) as (_, url):
        clock = json.loads(fetch(f"{url}/emulator/clock").body)
        assert clock == {"now": "2026-11-01T00:00:00+00:00", "speed": 0}
        truth = json.loads(fetch(f"{url}/emulator/truth?at=2026-11-10T00:00:00Z").body)
        assert truth["facts"]["kind"] == "living"
        assert fetch(f"{url}/vi/{truth['videos'][0]['video_id']}/mqdefault.jpg").status == 503


def test_a_port_in_use_is_one_clear_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("--port", str(port)) == (
            f"Error: Port {port} on 127.0.0.1 cannot be used (Address already in use). "
            "Choose another with --port, or --port 0 for a free one.\n"
        )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--catalog", "/no/such/folder"), "is no folder"),
        (("--epoch", "yesterday"), "is not a moment"),
        (("--host", "192.0.2.1"), "cannot be used"),
        (("--port", "70000"), "cannot be used"),
        (("--channels", "0"), "at least one channel"),
        (("--synthetic", "--catalog", "/tmp"), "Choose one of"),
        (("--catalog", "/tmp", "--effect", "1"), "--effect needs"),
        (("--catalog", "/tmp", "--days", "1"), "--days needs"),
        (("--days", "-1"), "more than 0"),
        (("--clock", "sundial"), "is unknown"),
        (("--clock", "manual", "--speed", "2"), "Choose one of"),
        (("--speed", "-1"), "The speed lies"),
        (("--faults", "7"), "no fault plan"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(options, says):
    message = refused("--port", "0", *options)
    assert says in message
    assert message.count("\n") == 1


def refused(*options: str) -> str:
    done = subprocess.run(
        [*COMMAND, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr
