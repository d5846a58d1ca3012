"""``tubegrader up``, ``status``, ``doctor`` and ``down`` as a user meets them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import embedded
from services.embedded.workers import environment, fingerprint, names
from services.settings import Settings
from tests.support.embedded import (
    home,
    kill_leftovers,
    leftovers,
    made_home,
    recorded,
    settings_for,
    supervised,
    wait_until,
)

__all__ = ["home", "made_home"]

SECONDS = 120


@pytest.fixture(autouse=True)
def no_strays(home: Path) -> Iterator[None]:
    yield
    kill_leftovers(home)


def command(home: Path, *arguments: str) -> list[str | Path]:
    return [sys.executable, "-m", "services.cli.main", "--home", home, *arguments]


def clean_environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "TUBEGRADER" not in name}
    return {**kept, "COLUMNS": "200", **changes}


def tubegrader(home: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(home, *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env=clean_environment(**env),
    )


def states(home: Path) -> dict[str, str]:
    answer = json.loads(tubegrader(home, "status", "--json").stdout)
    return {part["name"]: part["state"] for part in answer["parts"]}


def test_up_in_the_background_heals_and_is_stopped_by_down(home: Path) -> None:
    up = tubegrader(home, "up", "--detach")
    assert up.returncode == 0, up.stderr
    assert "TubeGrader is up" in up.stdout

    shown = tubegrader(home, "status", "--json")
    answer = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert answer["up"] is True
    assert {part["name"] for part in answer["parts"]} == {"postgres", "redis", "storage", *names()}
    assert all(part["state"] == "up" for part in answer["parts"])
    secret = [part["endpoint"] for part in answer["parts"] if part["name"] == "redis"]
    assert secret[0].startswith("redis://:***@127.0.0.1:")

    again = tubegrader(home, "up")
    assert again.returncode == 0
    assert "is up already" in again.stdout

    # A command beside it uses what runs, and leaves it running.
    with embedded.stack(settings_for(home), workers=True):
        pass
    worker = supervised(home, "crawl")
    assert worker is not None
    worker.signal(signal.SIGKILL)
    wait_until(lambda: supervised(home, "crawl") not in (None, worker), "a new crawl worker")
    wait_until(lambda: states(home)["crawl"] == "up", "the new worker's readiness")

    down = tubegrader(home, "down")
    assert down.returncode == 0
    assert "stopped the workers, PostgreSQL, Redis" in down.stdout
    assert leftovers(home) == []
    assert tubegrader(home, "status").returncode == 3


@pytest.mark.slow
def test_up_in_the_foreground_survives_its_supervisor_and_ends_at_ctrl_c(home: Path) -> None:
    with subprocess.Popen(
        command(home, "up"), stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as up:
        wait_until(lambda: set(states(home).values()) == {"up"}, "up", SECONDS)
        first = recorded(home, "supervisor")
        first.signal(signal.SIGKILL)
        wait_until(lambda: not first.alive(), "SIGKILL")
        wait_until(lambda: set(states(home).values()) == {"up"}, "up again", SECONDS)
        up.send_signal(signal.SIGINT)
        output, _ = up.communicate(timeout=SECONDS)
        assert up.returncode == 0
    assert "TubeGrader is up" in output
    assert "the supervisor was killed; starting it again" in output
    assert "crawl │" in output
    assert output.rstrip().endswith("stopped")
    assert leftovers(home) == []


@pytest.mark.slow
def test_a_killed_up_takes_everything_with_it_and_the_next_one_works(home: Path) -> None:
    with subprocess.Popen(
        command(home, "up"), stdout=subprocess.DEVNULL, env=clean_environment()
    ) as up:
        wait_until(lambda: set(states(home).values()) == {"up"}, "up", SECONDS)
        up.kill()
    wait_until(lambda: not leftovers(home), "everything to end")
    with embedded.stack(settings_for(home), workers=True):
        assert states(home)["crawl"] == "up"
    assert leftovers(home) == []


@pytest.mark.slow
def test_workers_with_other_settings_are_not_shared(home: Path) -> None:
    from services.errors import UsageError

    with embedded.stack(settings_for(home), workers=True):
        other = settings_for(home, youtube_endpoint="http://127.0.0.1:9")
        with (
            pytest.raises(UsageError, match="YOUTUBE_ENDPOINT"),
            embedded.stack(other, workers=True),
        ):
            pass


def test_status_of_a_home_that_was_never_started_makes_nothing(tmp_path: Path) -> None:
    shown = tubegrader(tmp_path / "never", "status")
    assert shown.returncode == 3
    assert "postgres" in shown.stdout
    assert not (tmp_path / "never").exists()
    down = tubegrader(tmp_path / "never", "down")
    assert down.returncode == 0
    assert "nothing runs" in down.stdout
    assert not (tmp_path / "never").exists()


def test_doctor_checks_each_part_and_leaves_nothing_running(home: Path) -> None:
    seen = tubegrader(home, "doctor", "--json")
    assert seen.returncode == 0, seen.stdout
    answer = json.loads(seen.stdout)
    levels = {check["name"]: check["level"] for check in answer["checks"]}
    for name in ("home", "PostgreSQL wheel", "Redis wheel", "database", "schema", "Redis"):
        assert levels[name] == "ok", answer
    assert levels["object store"] == levels["size"] == "ok"
    size = next(check for check in answer["checks"] if check["name"] == "size")
    assert size["figures"]["total"]["bytes"] > 0
    assert levels["backups"] == "ok", "there is nothing to lose yet"
    assert levels["YouTube key"] == "warn"
    audio = next(check for check in answer["checks"] if check["name"] == "audio")
    assert "off: none is downloaded without an approval" in audio["found"]
    odd = next(check for check in answer["checks"] if check["name"] == "odd values")
    assert (odd["level"], odd["found"]) == ("ok", "none in 7 days")
    assert levels["ffmpeg"] == "ok"
    assert all(check["remedy"] for check in answer["checks"] if check["level"] != "ok")
    assert leftovers(home) == []


def test_doctor_fails_with_a_remedy_where_a_part_cannot_be_reached(home: Path) -> None:
    broken = {"TUBEGRADER_REDIS_URL": "redis://:hunter2@127.0.0.1:9/0"}
    seen = tubegrader(home, "doctor", **broken)
    assert seen.returncode == 1
    assert "fail Redis" in seen.stdout
    assert "check TUBEGRADER_REDIS_URL" in seen.stdout
    assert "ok   database" in seen.stdout
    assert "hunter2" not in seen.stdout


def test_up_names_what_is_wrong_in_one_line(home: Path) -> None:
    (home / "postgres" / "PG_VERSION").write_text("16\n")
    up = tubegrader(home, "up")
    assert up.returncode != 0
    assert "holds data of PostgreSQL 16" in up.stderr
    assert "Traceback" not in up.stderr


def test_settings_reach_another_process_through_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, youtube_api_key="k", youtube_endpoint="http://127.0.0.1:1")
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert "k" not in fingerprint(settings).values()
    louder = settings.model_copy(update={"log_level": "DEBUG"})
    assert fingerprint(louder) == fingerprint(settings)
