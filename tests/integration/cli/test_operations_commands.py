"""The operator's commands, as typed: schedule, jobs, pause, breakers, notify, status."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from db.queries.catalog import channels
from services.cli.main import app
from services.context import Context
from services.errors import BlockedError, UsageError
from services.work import breakers, jobs
from tests.support.cli import settings_of


@pytest.fixture
def run(context: Context, monkeypatch: pytest.MonkeyPatch):
    """Run a command on the test's database; its output, or its error raised."""
    for name, value in settings_of(context).items():
        monkeypatch.setenv(name, value)

    def typed(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stdout

    return typed


def as_json(printed: str) -> Any:
    return json.loads(printed)


def test_speech_has_schedules_of_its_own_that_rest_until_there_is_any(run):
    words = ("schedule", "add", "evening", "--cron", "0 20 * * *", "--speech", "--kind")
    run(*words, "retrain")
    found = {s["name"]: s["params"] for s in as_json(run("schedule", "list", "--json"))}
    assert found["evening"] == found["nightly-speech"] == {"task": "speech"}
    with pytest.raises(UsageError, match="no speech to learn from") as refused:
        run("schedule", "run-now", "evening")
    assert "audio add" in str(refused.value.hint)
    with pytest.raises(UsageError, match="--speech is for"):
        run(*words, "crawl")


def test_a_schedule_of_training_says_what_to_learn_from(run):
    words = ("schedule", "add", "own", "--every", "1d", "--kind")
    run(*words, "retrain", "--label", "day30", "--threshold", "50", "--seed", "7", "--no-backbone")
    heard = ("schedule", "add", "heard", "--every", "1d", "--kind", "train", "--speech")
    run(*heard, "--conflicts", "keep")
    found = {s["name"]: s["params"] for s in as_json(run("schedule", "list", "--json"))}
    assert found["own"] == {"label": "day30", "threshold": 50, "seed": 7, "backbone": False}
    assert found["heard"] == {"conflicts": "keep", "task": "speech"}
    for wrong, said in (
        ((*words, "retrain", "--label", "day3"), "no label"),
        ((*words, "score", "--label", "day7"), "--label is for train and retrain"),
        ((*words, "crawl", "--seed", "1"), "--seed is for train and retrain"),
        ((*words, "retrain", "--conflicts", "keep"), "--conflicts is for --speech"),
        ((*heard, "--label", "day7"), "--speech is for"),
        ((*heard, "--conflicts", "guess"), "cannot be"),
    ):
        with pytest.raises(UsageError, match=said):
            run(*wrong)


def test_a_schedule_takes_channels_as_people_name_them(run, context):
    ids = ["UC" + letter * 22 for letter in "abc"]
    with context.transaction() as session:
        channels.add(session, ids[:1], now=context.clock())
        channels.refresh(session, {"channel_id": ids[0], "handle": "@A"}, now=context.clock())
    words = ("schedule", "add", "some", "--kind", "crawl", "--every", "1d", "--channel")
    address = f"https://www.youtube.com/channel/{ids[1]}/videos"
    run(*words, "@a", "--channel", address, "--channel", ids[2])
    found = {s["name"]: s["params"] for s in as_json(run("schedule", "list", "--json"))}
    assert found["some"] == {"channel_ids": ids}
    with pytest.raises(UsageError, match="not watched"):
        run(*words, "@nobody")


def test_a_schedule_from_its_addition_to_its_removal(run):
    words = ("schedule", "add", "berlin", "--kind", "retrain", "--cron", "30 2 * * *")
    assert "is added; next" in run(*words, "--zone", "Europe/Berlin", "--misfire", "skip")
    again = run(*words, "--zone", "Europe/Berlin", "--misfire", "skip", "--json")
    assert as_json(again)["new"] is False
    run("schedule", "add", "often", "--kind", "upkeep", "--every", "6h", "--grace", "1m")
    names = [s["name"] for s in as_json(run("schedule", "list", "--json"))]
    assert names == ["berlin", "daily-upkeep", "nightly-retraining", "nightly-speech", "often"]
    assert "every 6h" in run("schedule", "list")
    [following] = as_json(run("schedule", "next", "berlin", "-n", "400", "--json"))
    local = [moment["local"][11:] for moment in following["moments"]]
    assert {"02:30:00+01:00", "02:30:00+02:00", "03:00:00+02:00"} == set(local)
    assert run("schedule", "pause", "often", "--reason", "later") == "often is paused\n"
    assert run("schedule", "resume", "often", "often") == "often is on\n"
    job_id = run("schedule", "run-now", "often").strip()
    assert as_json(run("jobs", "show", job_id, "--json"))["kind"] == "upkeep"
    with pytest.raises(UsageError, match="still runs"):
        run("schedule", "run-now", "often")
    assert run("schedule", "remove", "often", "berlin").count("removed") == 2
    with pytest.raises(UsageError, match="no time zone"):
        run(*words, "--zone", "Nowhere")
    with pytest.raises(UsageError, match="not watched"):
        run("schedule", "add", "c", "--kind", "crawl", "--every", "1d", "--channel", "@you")


def test_jobs_are_filtered_cancelled_and_retried(run, context: Context):
    job_id = str(jobs.submit(context, "train", {}))
    run("jobs", "cancel", job_id[:8])
    listed = as_json(run("jobs", "list", "--state", "cancelled", "--kind", "train", "--json"))
    assert [job["job_id"] for job in listed] == [job_id]
    assert as_json(run("jobs", "retry", job_id[:8], "--json")) == {"jobs": [job_id]}
    assert as_json(run("jobs", "retry", "--failed", "--reason", "x", "--json")) == {"jobs": []}
    assert run("jobs", "retry", "--items", "--reason", "x") == "0 items due again\n"
    assert as_json(run("jobs", "items", "--json")) == []
    with pytest.raises(UsageError, match="give jobs"):
        run("jobs", "retry")


def test_what_is_held_back_is_shown_and_let_go(run, context: Context):
    assert run("blockers") == "nothing is held back\n"
    assert run("pause", "--queue", "media", "--reason", "disk is full") == "media is paused\n"
    assert run("pause") == "everything is paused\n"
    with context.transaction() as session:
        refusal = BlockedError("too fast", reason="rateLimitExceeded")
        breakers.record(session, "data-api", n_items=1, errors=[refusal], now=context.clock())
    status = as_json(run("status", "--json", code=3))
    assert {(h["what"], h["kind"]) for h in status["held_back"]} == {
        ("crawl", "paused"),
        ("media", "paused"),
        ("learning", "paused"),
        ("scoring", "paused"),
        ("data-api", "breaker"),
    }
    sizes = status["sizes"]
    assert {"scores", "video_snapshots", "pictures"} <= {k["kind"] for k in sizes["kinds"]}
    assert sizes["total"]["bytes"] == sum(k["bytes"] for k in sizes["kinds"]) > 0
    assert "held back: data-api: too fast" in run("status", code=3)
    shown = {b["host"]: b["state"] for b in as_json(run("breakers", "--json"))}
    assert shown["data-api"] == "open"
    assert shown["thumbnails"] == "closed"
    assert run("breakers", "reset", "data-api") == "data-api is asked again\n"
    assert "still paused: media (disk is full)" in run("resume")
    assert run("resume", "--queue", "media") == "media goes on\n"
    assert as_json(run("holdups", "--json")) == []


def test_notifications_are_tried_from_the_command_line(run, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="nobody is to be notified"):
        run("notify", "test")
    monkeypatch.setenv("TUBEGRADER_NOTIFY_COMMAND", "cat")
    assert run("notify", "test") == "the command took it\n"
    assert as_json(run("notify", "list", "--json")) == []


def test_what_would_be_removed_or_tried_again_is_told_and_left_alone(run, context: Context):
    run("schedules", "add", "often", "--kind", "upkeep", "--every", "6h")
    assert run("schedules", "remove", "often", "--dry-run") == "often would be removed\n"
    assert "often" in run("schedules", "list")
    job_id = str(jobs.submit(context, "train", {}))
    with context.transaction() as session:
        failed = "state = 'failed', error_reason = 'odd', error_kind = 'permanent'"
        session.execute(text(f"UPDATE jobs SET {failed}, ready_at = NULL, finished_at = now()"))
    tried = ("jobs", "retry", "--failed", "--reason", "odd", "--json")
    assert as_json(run(*tried, "--dry-run")) == {"jobs": [job_id], "dry_run": True}
    assert as_json(run("jobs", "show", job_id, "--json"))["state"] == "failed"
    assert as_json(run(*tried)) == {"jobs": [job_id]}
    assert as_json(run("jobs", "show", job_id, "--json"))["state"] == "queued"
    assert as_json(run("schedules", "remove", "often", "--json")) == {"changed": ["often"]}
