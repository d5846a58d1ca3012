"""A new kind of work, queue, job and schedule: each is one declaration, and everything knows it."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
import redis

from db.queries.work import work_items
from services import schedules
from services.context import Context
from services.embedded import Endpoints
from services.embedded.workers import process_specs
from services.queue import QUEUES, Queue, Task, TaskQueue, celery_config
from services.schedules import kinds as schedule_kinds
from services.schedules.kinds import ScheduleKind
from services.settings import Settings
from services.work import breakers, jobs, leases, pauses, retries
from services.work.jobs import JobHandle
from services.work.kinds import JOB_KINDS, THUMBNAILS, WORK_KINDS, JobKind, WorkKind
from tests.support.operations import Operations, operations

__all__ = ["operations"]

TOYS = Queue("toys", processes=3)
PLAYING = WorkKind(
    name="channel.toy", task=Task("toys.play", TOYS), host=THUMBNAILS, batch_size=2, most_leased=2
)
TIDYING = JobKind("tidy", Task("toys.tidy", TOYS))


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """One place: what another author would write into the declarations."""
    monkeypatch.setitem(QUEUES, TOYS.name, TOYS)
    monkeypatch.setitem(WORK_KINDS, PLAYING.name, PLAYING)
    monkeypatch.setitem(JOB_KINDS, TIDYING.name, TIDYING)
    tidy = ScheduleKind("tidy", lambda _session, params: {**params, "asked": "for"})
    monkeypatch.setitem(schedule_kinds.KINDS, "tidy", tidy)


def play(context: Context, token: uuid.UUID) -> int:
    """What the author of a kind of work writes beside its declaration."""
    with leases.begin(context, token) as batch, context.transaction() as session:
        every = dict.fromkeys(batch.items, timedelta(days=1))
        return batch.complete(session, every, now=context.clock())
    return 0


def test_a_kind_of_work_is_claimed_sent_begun_and_completed(operations: Operations):
    operations.make_work(PLAYING.name, 5)
    # Two batches of two under lease, and no third.
    assert operations.tick() == ["toys.play", "toys.play"]
    done = [play(operations.context, uuid.UUID(args[0])) for _, args in operations.queue.take()]
    assert done == [2, 2]
    operations.tick()
    [(_, (token,))] = operations.queue.take()
    assert play(operations.context, uuid.UUID(token)) == 1
    assert play(operations.context, uuid.UUID(token)) == 0
    states = "SELECT state, attempts, count(*) FROM work_items GROUP BY 1, 2"
    assert operations.sql(states) == [("due", 0, 5)]
    operations.turn(days=1, hours=1)
    assert operations.tick() == ["toys.play", "toys.play"]


def test_a_kind_of_work_is_held_back_by_its_queue_and_its_host(operations: Operations):
    operations.make_work(PLAYING.name, 1)
    assert pauses.pause(operations.context, "toys")
    assert operations.tick() == []
    assert pauses.resume(operations.context, "toys")
    with operations.context.transaction() as session:
        breaker = breakers.rows.lock(session, THUMBNAILS, now=operations.clock())
        breaker.state, breaker.opened_at = "open", operations.clock()
        breaker.retry_at = operations.clock() + timedelta(hours=1)
    assert operations.tick() == []
    assert breakers.reset(operations.context, THUMBNAILS)
    assert operations.tick() == ["toys.play"]


def test_failed_items_of_a_kind_are_counted_and_retried(operations: Operations):
    operations.make_work(PLAYING.name, 1)
    operations.tick()
    [(_, (token,))] = operations.queue.take()
    with operations.context.transaction() as session:
        held, [item] = work_items.begin(session, uuid.UUID(token), until=operations.clock())
        how: dict[str, Any] = {"kind": "permanent", "reason": "broken", "message": "", "now": None}
        how["now"] = operations.clock()
        work_items.fail(session, held, [item.entity_id], retry_at=None, **how)
    [count] = retries.item_counts(operations.context)
    assert (count["kind"], count["state"], count["reason"]) == (PLAYING.name, "failed", "broken")
    assert retries.retry_items(operations.context, kind=PLAYING.name) == 1


def test_a_schedule_of_a_new_kind_fires_and_its_job_is_done(operations: Operations):
    context = operations.context
    plan = schedules.Plan("often", "tidy", None, 3600, "UTC", "run-once", 300, {"room": "own"})
    assert schedules.add(context, plan)
    operations.turn(hours=1)
    assert operations.tick() == ["toys.tidy"]
    [(_, (job_id, token))] = operations.queue.take()

    def tidy(_context: Context, job: JobHandle) -> dict[str, Any]:
        job.progress(1, 1, "tidy")
        return {"tidied": job.params}

    assert jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), tidy) == "succeeded"
    [job] = jobs.newest(context, kind="tidy")
    assert job.result == {"tidied": {"room": "own", "asked": "for"}}


def test_a_schedule_of_a_kind_that_is_not_known_stops_and_says_so(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
):
    plan = schedules.Plan("often", "tidy", None, 3600, "UTC", "run-once", 300, {})
    assert schedules.add(operations.context, plan)
    monkeypatch.delitem(schedule_kinds.KINDS, "tidy")
    operations.turn(hours=1)
    assert operations.tick() == []
    [stopped] = schedules.listed(operations.context)
    assert stopped.state == "paused"
    assert "knows no schedule of the kind “tidy”" in str(stopped.paused_reason)


def test_a_queue_has_a_worker_and_carries_messages(endpoints: Endpoints):
    assert "toys" in {made.name for made in celery_config(endpoints.redis_url)["task_queues"]}
    [worker] = [spec for spec in process_specs(Settings(), endpoints) if spec.name == "toys"]
    assert worker.argv[worker.argv.index("-c") + 1] == "3"
    with redis.Redis.from_url(endpoints.redis_url, decode_responses=True) as broker:
        TaskQueue(endpoints.redis_url).send(PLAYING.task, "a-token")
        assert broker.llen("toys") == 1
        broker.delete("toys")
