"""Whatever a job waits for is said: what, why, until when."""

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from pydantic import SecretStr

from db.queries.work import fleet
from db.queries.work.quota import mark_exhausted
from services.cli import common
from services.crawl import runs
from services.errors import (
    BlockedError,
    InfrastructureError,
    PermanentError,
    QuotaError,
    TransientError,
)
from services.work import breakers, jobs, pauses, waiting
from services.work.waiting import STANDS_STILL_S, Waiting, follow, waits_for
from services.youtube.quota import key_fingerprint, pacific_day, reset_at
from tests.support.operations import Operations, operations

__all__ = ["operations"]

FAILS = TransientError("YouTube fails at the moment (HTTP 500).", reason="http500")


def live(operations: Operations, *roles: str) -> None:
    """Let processes be alive: a dispatcher that is elected, workers of queues."""
    with operations.context.transaction() as session:
        for role in roles:
            fleet.beat(session, role, role=role, host="here", pid=1, version="1")
            if role == "dispatcher":
                fleet.elect(session, "dispatcher", role, term=timedelta(hours=1))


def kinds(found: list[Waiting]) -> list[tuple[str, str]]:
    return [(wait.kind, wait.what) for wait in found]


def crawl(operations: Operations, n: int = 28) -> uuid.UUID:
    """Begin a crawl of which only the channels' counts are left to do."""
    ids = operations.watch(n)
    job_id = runs.start(operations.context, ids)
    operations.tick()
    operations.queue.take()
    operations.sql("UPDATE work_items SET state = 'idle', done_at = :now, slot = NULL, "
                   "ready_at = NULL, lease_token = NULL WHERE kind <> 'channel.snapshot'",
                   now=operations.clock())  # fmt: skip
    return job_id


def leased(operations: Operations) -> uuid.UUID:
    [(token,)] = operations.sql("SELECT DISTINCT lease_token FROM work_items "
                                "WHERE state = 'leased'")  # fmt: skip
    return uuid.UUID(str(token))


def test_a_batch_that_failed_is_named_with_its_words_and_its_next_attempt(operations: Operations):
    live(operations, "dispatcher", "crawl,media")
    job_id = crawl(operations)
    assert waits_for(operations.context, job_id) == []  # it is under way
    operations.work_on(leased(operations), FAILS)
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.what, wait.reason, wait.items) == ("failure", "data-api", "http500", 28)
    assert (wait.attempt, wait.attempts) == (2, 8)
    assert wait.until == operations.clock() + timedelta(seconds=15)
    assert wait.line == (
        "waiting for data-api: 28 channels (channel.snapshot) failed at 12:00:00: YouTube fails at "
        "the moment (HTTP 500).; goes on at 2026-07-15 12:00:15 UTC at the earliest (attempt 2 of "
        "8)"
    )
    assert wait.as_json()["until"] == "2026-07-15T12:00:15+00:00"


def test_a_breaker_a_pause_and_the_quota_are_named_with_their_ends(operations: Operations):
    live(operations, "dispatcher", "crawl")
    job_id = crawl(operations)
    operations.work_on(leased(operations), BlockedError("too fast", reason="rateLimitExceeded"))
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.what, wait.items) == ("breaker", "data-api", 28)
    assert wait.until == operations.clock() + timedelta(minutes=1)
    assert wait.hint is not None
    assert "breakers reset data-api" in wait.hint
    breakers.reset(operations.context, "data-api")

    operations.with_settings(youtube_api_key=SecretStr("k"))
    with operations.context.transaction() as session:
        mark_exhausted(session, key_fingerprint=key_fingerprint("k"), bucket="units",
                       pacific_day=pacific_day(operations.clock()), now=operations.clock(),
                       purpose="statistics")  # fmt: skip
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.what, wait.until) == ("quota", "units", reset_at(operations.clock()))

    pauses.pause(operations.context, "crawl", reason="moving house")
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.until) == ("paused", None)
    assert wait.hint == "`tubegrader work resume` lifts that"
    assert "moving house" in wait.line


def test_a_queue_without_a_worker_is_named_with_when_one_was_last_seen(operations: Operations):
    live(operations, "dispatcher", "media")
    job_id = crawl(operations)
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.what, wait.items) == ("worker", "a worker for queue crawl", 28)
    assert "none has been seen within a day" in wait.line
    assert "`tubegrader up`" in wait.line
    live(operations, "crawl")
    operations.sql("UPDATE worker_processes SET seen_at = now() - interval '2 hours' "
                   "WHERE role = 'crawl'")  # fmt: skip
    [wait] = waits_for(operations.context, job_id)
    assert wait.since is not None
    assert f"none has been seen since {wait.since:%Y-%m-%d %H:%M:%S} UTC" in wait.line
    operations.sql("DELETE FROM elections")
    assert kinds(waits_for(operations.context, job_id)) == [
        ("dispatcher", "a dispatcher"),
        ("worker", "a worker for queue crawl"),
    ]


def test_a_crawl_that_has_not_begun_says_why(operations: Operations):
    operations.watch(1)
    job_id = runs.start(operations.context)
    assert kinds(waits_for(operations.context, job_id)) == [("dispatcher", "a dispatcher")]
    live(operations, "dispatcher")
    assert waits_for(operations.context, job_id) == []
    pauses.pause(operations.context)
    assert [kind for kind, _ in kinds(waits_for(operations.context, job_id))][:1] == ["paused"]


def test_a_training_waits_for_a_worker_another_job_a_pause_or_its_next_try(operations: Operations):
    live(operations, "dispatcher")
    job_id = jobs.submit(operations.context, "train", {})
    assert kinds(waits_for(operations.context, job_id)) == [
        ("worker", "a worker for queue learning")
    ]
    live(operations, "learning")
    other = jobs.submit(operations.context, "compare", {})
    operations.tick()  # both are sent; the worker takes the other one
    with operations.context.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE jobs SET attempts = 1 WHERE kind = 'compare'"
        )  # fmt: skip
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.what) == ("busy", "queue learning")
    assert f"compare {str(other)[:8]}" in wait.message
    assert waits_for(operations.context, other) == []

    third = jobs.submit(operations.context, "retrain", {})
    pauses.pause(operations.context, "learning")
    assert kinds(waits_for(operations.context, third)) == [("paused", "learning")]
    pauses.resume(operations.context, "learning")
    later = operations.clock() + timedelta(hours=3)
    [(token,)] = operations.sql("SELECT lease_token FROM jobs WHERE kind = 'train'")

    def waits_for_quota(*_: object) -> dict[str, object]:
        raise QuotaError("another retraining of thumbnails is under way", reset_at=later)

    assert jobs.run(operations.context, job_id, uuid.UUID(str(token)), waits_for_quota) == "queued"
    [wait] = waits_for(operations.context, job_id)
    assert (wait.kind, wait.until, wait.attempt) == ("retry", later, 2)
    assert "another retraining of thumbnails is under way" in wait.line


@dataclass
class Patience:
    """Passes time without waiting for it, and does something after a while."""

    now: float = 0.0

    def elapsed(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += max(seconds, 1.0)


def test_who_follows_a_job_is_told_only_where_it_stands_still(operations: Operations):
    job_id = jobs.submit(operations.context, "train", {})
    patience = Patience()
    told = []
    for standing in follow(
        operations.context, job_id, pause=patience.pause, elapsed=patience.elapsed
    ):
        told.append(bool(standing.waits_for))
        if patience.now == 10:
            jobs.cancel(operations.context, job_id)
    assert told == [False] * int(STANDS_STILL_S) + [True] * 6 + [False]


def test_a_database_that_is_away_is_waited_for_and_said(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
):
    job_id = jobs.submit(operations.context, "train", {})
    patience, seen = Patience(), jobs.view(operations.context, job_id)
    away = InfrastructureError("the database cannot be used", reason="databaseUnavailable")
    answers = [seen, away, away, seen]

    def view(*_: object) -> jobs.JobView:
        answer = answers.pop(0) if answers else away
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(waiting, "view", view)
    following = follow(operations.context, job_id, pause=patience.pause, elapsed=patience.elapsed)
    said = [kinds(list(next(following).waits_for)) for _ in range(4)]
    assert said == [[], [("database", "the database")], [("database", "the database")], []]
    with pytest.raises(InfrastructureError):
        for _ in following:
            pass
    assert patience.now > waiting.AWAY_S
    assert patience.now < waiting.AWAY_S + 60


def test_a_command_says_it_once_on_standard_error_and_how_to_leave(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    job_id = jobs.submit(operations.context, "train", {})
    patience = Patience()

    def following(context: object, job_id: uuid.UUID):
        for n, standing in enumerate(
            follow(operations.context, job_id, pause=patience.pause, elapsed=patience.elapsed)
        ):
            yield standing
            if n == 30:
                jobs.cancel(operations.context, job_id)

    monkeypatch.setattr(waiting, "follow", following)
    with pytest.raises(PermanentError, match="cancelled"):
        common.wait_for(operations.context, job_id, "training", quiet=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("waiting for a worker for queue learning: none has been seen") == 1
    assert err.count("Ctrl-C stops waiting, the job goes on.") == 1


def test_a_job_that_is_shown_says_it_too(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    import json

    from services.cli import jobs as command

    @contextmanager
    def opened(**_: object):
        yield operations.context

    monkeypatch.setattr(command, "open_context", opened)
    job_id = str(jobs.submit(operations.context, "train", {}))
    command.show_job(job_id)
    assert "waiting for a worker for queue learning" in capsys.readouterr().out
    command.show_job(job_id, as_json=True)
    [wait] = json.loads(capsys.readouterr().out)["waits_for"]
    assert (wait["kind"], wait["reason"], wait["until"]) == ("worker", "noWorker", None)
