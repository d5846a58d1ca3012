"""Holding work back and trying again: pauses, breakers, used-up quota, retries, counts."""

import uuid
from datetime import timedelta

import pytest
from pydantic import SecretStr

from db.queries.work import work_items
from db.queries.work.quota import mark_exhausted, reserve_units
from services.crawl import runs
from services.errors import BlockedError, PermanentError, TransientError, UsageError
from services.work import admission, breakers, jobs, leases, pauses, retries
from services.youtube.failures import ApiKeyError
from services.youtube.quota import key_fingerprint, pacific_day, reset_at
from tests.support.operations import Operations, operations

__all__ = ["operations"]

REFUSED = BlockedError("too fast", reason="rateLimitExceeded")
DOWN = TransientError("no answer", reason="timeout")


def state(operations: Operations, host: str = "data-api") -> breakers.BreakerView:
    return next(b for b in breakers.listed(operations.context) if b.host == host)


def test_nothing_paused_is_claimed_and_what_runs_finishes(operations: Operations):
    operations.make_work("channel.snapshot", 60)
    running = operations.tokens()[0]
    operations.sql("UPDATE work_items SET state='due', lease_token=NULL WHERE lease_token <> :t",
                   t=running)  # fmt: skip
    jobs.submit(operations.context, "train", {})
    assert pauses.pause(operations.context, reason="moving house") is True
    assert pauses.pause(operations.context) is False
    operations.turn(minutes=5)
    assert operations.tick() == []
    [said] = {blocker.message for blocker in admission.blockers(operations.context)}
    assert said == "everything is paused: moving house"
    operations.work_on(running)
    assert operations.sql("SELECT count(*) FROM work_items WHERE done_at IS NOT NULL") == [(50,)]
    pauses.resume(operations.context)
    assert sorted(operations.tick()) == ["crawl.snapshot_channels", "learning.train"]


def test_one_queue_is_paused_and_the_others_go_on(operations: Operations):
    operations.make_work("channel.snapshot", 1)
    jobs.submit(operations.context, "train", {})
    jobs.submit(operations.context, "upkeep", {})
    pauses.pause(operations.context, "crawl")
    assert operations.tick() == ["learning.train"]
    job_id = runs.start(operations.context)
    operations.tick()
    assert jobs.view(operations.context, job_id).state == "queued"
    pauses.resume(operations.context, "crawl")
    operations.queue.take()
    assert set(operations.tick()) == {
        "crawl.snapshot_channels",
        "crawl.discover_channels",
        "control.maintain",
    }
    with pytest.raises(UsageError, match="no queue"):
        pauses.pause(operations.context, "kitchen")


def test_a_host_that_refuses_is_not_asked_until_its_probe_goes_well(operations: Operations):
    operations.make_work("channel.snapshot", 300)
    first, *others = operations.tokens()
    assert len(others) == 5
    operations.work_on(first, REFUSED)
    for token in others:  # sent before it opened; each refusal is the same one
        operations.work_on(token, REFUSED)
    opened = state(operations)
    assert (opened.state, opened.trips, opened.reason) == ("open", 1, "rateLimitExceeded")
    assert opened.retry_at == operations.clock() + breakers.REFUSED.first
    operations.turn(seconds=59)
    assert operations.tokens() == []
    operations.turn(seconds=1)
    [probe] = operations.tokens()
    assert operations.tokens() == []  # one at a time
    operations.work_on(probe, REFUSED)
    again = state(operations)
    assert again.retry_at == operations.clock() + 2 * breakers.REFUSED.first
    assert again.opened_at == opened.opened_at
    operations.turn(minutes=2)
    [probe] = operations.tokens()
    operations.work_on(probe)
    assert state(operations).state == "closed"
    assert len(operations.tokens()) == 5


def test_a_probe_whose_worker_died_is_followed_by_another(operations: Operations):
    operations.make_work("channel.snapshot", 200)
    operations.work_on(operations.tokens()[0], REFUSED)
    operations.sql("UPDATE work_items SET state='due', lease_token=NULL, ready_at=:now "
                   "WHERE lease_token IS NOT NULL", now=operations.clock())  # fmt: skip
    operations.turn(minutes=1)
    [lost] = operations.tokens()
    operations.turn(seconds=operations.context.settings.lease_seconds)
    [other] = operations.tokens()
    assert other != lost


def pauses_when_refused(operations: Operations, times: int) -> list[timedelta]:
    """Refuse one item each time the host is asked again; how long it is left alone each time."""
    lengths = []
    with operations.context.transaction() as session:
        now = operations.clock()
        for _ in range(times):
            until = breakers.record(session, "data-api", n_items=1, errors=[REFUSED], now=now)
            assert until is not None
            lengths.append(until - now)
            now = until
    return lengths


def test_pauses_of_a_breaker_double_up_to_a_bound(operations: Operations):
    pause = breakers.REFUSED
    lengths = pauses_when_refused(operations, 40)
    assert lengths[:4] == [pause.first * f for f in (1, 2, 4, 8)]
    assert set(lengths[12:]) == {pause.longest}


def test_only_failures_in_a_row_open_a_breaker(operations: Operations):
    bad = {"n_items": 2, "errors": [DOWN, DOWN]}
    mixed = {"n_items": 2, "errors": [DOWN]}
    told = {"n_items": 2, "errors": [PermanentError("gone", reason="thumbnailMissing")]}
    now = operations.clock()
    with operations.context.transaction() as session:
        for between in (mixed, told):
            for outcome in [bad] * (breakers.FAILURES_IN_A_ROW - 1) + [between]:
                assert breakers.record(session, "thumbnails", **outcome, now=now) is None
        for outcome in [bad] * (breakers.FAILURES_IN_A_ROW - 1):
            assert breakers.record(session, "thumbnails", **outcome, now=now) is None
        until = breakers.record(session, "thumbnails", **bad, now=now)
    assert until == now + breakers.FAILING.first
    assert state(operations, "thumbnails").state == "open"
    assert state(operations).state == "closed"


def test_a_refused_key_opens_the_breaker_and_a_crawl_by_hand_probes_at_once(
    operations: Operations,
):
    operations.make_work("channel.snapshot", 1)
    error = ApiKeyError("YouTube refuses the API key", reason="keyInvalid")
    operations.work_on(operations.tokens()[0], error)
    assert state(operations).retry_at == operations.clock() + timedelta(minutes=10)
    assert operations.tokens() == []
    runs.start(operations.context)
    [probe] = operations.tokens()
    operations.work_on(probe)
    assert state(operations).state == "closed"


def test_a_crawl_that_meets_an_open_breaker_says_why_it_waits(operations: Operations):
    operations.make_work("channel.snapshot", 1)
    pauses_when_refused(operations, 5)
    job_id = runs.start(operations.context)
    [probe] = operations.tokens()  # asked for by hand
    operations.work_on(probe, REFUSED)
    operations.tick()
    job = jobs.view(operations.context, job_id)
    assert job.waiting_until == state(operations).retry_at
    assert job.progress_message == "too fast"


def test_a_breaker_is_reset_by_hand(operations: Operations):
    operations.make_work("channel.snapshot", 2)
    operations.work_on(operations.tokens()[0], REFUSED)
    assert breakers.reset(operations.context, "data-api") is True
    assert breakers.reset(operations.context, "data-api") is False
    assert state(operations).state == "closed"
    with pytest.raises(UsageError, match="no host"):
        breakers.reset(operations.context, "moon")


def test_nothing_of_a_used_up_bucket_is_claimed_until_the_reset(operations: Operations):
    operations.make_work("channel.discover", 30)
    operations.make_work("video.snapshot", 30)
    operations.with_settings(youtube_api_key=SecretStr("key"), youtube_daily_units=100)
    booking = {
        "key_fingerprint": key_fingerprint("key"),
        "pacific_day": pacific_day(operations.clock()),
    }
    with operations.context.transaction() as session:
        reserve_units(session, **booking, bucket="units", units=100, limit=100)
    assert set(operations.tick()) == {"crawl.snapshot_videos"}  # has a bucket of its own
    operations.sql("UPDATE work_items SET state='due', lease_token=NULL, ready_at=slot")
    with operations.context.transaction() as session:
        mark_exhausted(session, **booking, bucket="batchGetStats", now=operations.clock())
    operations.queue.take()
    assert operations.tick() == []
    job_id = runs.start(operations.context)
    operations.tick()
    operations.tick()
    job = jobs.view(operations.context, job_id)
    assert job.waiting_until == reset_at(operations.clock())
    assert "quota" in (job.progress_message or "")
    operations.clock.now = reset_at(operations.clock())
    assert "crawl.discover_channels" in operations.tick()


def end_for_good(operations: Operations, token: uuid.UUID, reason: str) -> None:
    with operations.context.transaction() as session:
        held = work_items.lock_held(session, token)
        how = {"kind": "permanent", "reason": reason, "message": "gone", "retry_at": None}
        work_items.fail(session, token, held, **how, now=operations.clock())


def test_every_item_is_counted_once_and_failed_ones_are_retried_by_reason(
    operations: Operations,
):
    operations.make_work("channel.snapshot", 120)
    gone, parked, leased = operations.tokens()
    end_for_good(operations, gone, "channelNotFound")
    operations.work_on(parked, DOWN)
    with leases.begin(operations.context, leased) as begun:
        assert begun.items
    ids = [c for (c,) in operations.sql("SELECT channel_id FROM channels ORDER BY 1 LIMIT 3")]
    with operations.context.transaction() as session:
        now = operations.clock()
        work_items.add_items(session, "channel.discover", [(ids[0], ids[0])], slot=now)
        later = now + timedelta(days=1)
        work_items.add_items(session, "channel.discover", [(ids[1], ids[1])], slot=later)

    def counted() -> set[tuple[str, str, str | None, int]]:
        found = retries.item_counts(operations.context)
        return {(c["kind"], c["state"], c["reason"], c["count"]) for c in found}

    rest = {
        ("channel.snapshot", "parked", "timeout", 50),
        ("channel.snapshot", "leased", None, 20),
        ("channel.discover", "due", None, 1),
        ("channel.discover", "waiting", None, 1),
    }
    assert counted() == rest | {("channel.snapshot", "failed", "channelNotFound", 50)}
    assert retries.retry_items(operations.context, reason="other") == 0
    assert retries.retry_items(operations.context, reason="channelNotFound") == 50
    assert counted() == rest | {("channel.snapshot", "due", "channelNotFound", 50)}
    with pytest.raises(UsageError, match="no kind of work"):
        retries.retry_items(operations.context, kind="dance")


def test_jobs_are_listed_by_state_and_retried(operations: Operations):
    cancelled = jobs.submit(operations.context, "train", {})
    jobs.cancel(operations.context, cancelled)
    waiting = jobs.submit(operations.context, "score", {})
    names = [str(cancelled), str(waiting), str(uuid.uuid4())]
    assert retries.retry_jobs(operations.context, names) == [str(cancelled)]
    queued = jobs.newest(operations.context, state="queued")
    assert {job.job_id for job in queued} == {str(cancelled), str(waiting)}
    assert jobs.newest(operations.context, kind="compare") == []
    with pytest.raises(UsageError):
        jobs.newest(operations.context, state="asleep")
