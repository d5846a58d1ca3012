"""Schedules on real PostgreSQL: each slot fires once, whoever looks and whenever."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from db.queries.catalog import channels, watchlist
from services import schedules
from services.errors import PermanentError, TransientError, UsageError
from services.schedules import Plan
from services.schedules.firing import fire_due
from services.schedules.kinds import KINDS, NO_CHANNELS
from services.work import jobs, retries
from tests.support.operations import Operations, operations

__all__ = ["operations"]

HOURLY = Plan(
    name="hourly",
    kind="crawl",
    cron="0 * * * *",
    interval_s=None,
    time_zone="UTC",
    misfire="run-once",
    grace_s=300,
    params={},
)


def plan(**changes: object) -> Plan:
    return Plan(**{**vars(HOURLY), **changes})


def end_jobs(operations: Operations) -> None:
    operations.sql(
        "UPDATE jobs SET state = 'succeeded', ready_at = NULL, lease_token = NULL, "
        "finished_at = :now WHERE ready_at IS NOT NULL",
        now=operations.clock(),
    )


def slots(operations: Operations) -> list[tuple[datetime, str, str | None]]:
    return operations.sql("SELECT slot, outcome, reason FROM schedule_slots ORDER BY slot")


def n_jobs(operations: Operations) -> int:
    return operations.sql("SELECT count(*) FROM jobs")[0][0]


def test_retraining_and_upkeep_are_there_from_the_start_and_stay_removed(context):
    listed = {s.name: (s.kind, s.cron, s.time_zone) for s in schedules.listed(context)}
    assert listed == {
        "nightly-retraining": ("retrain", "30 3 * * *", "UTC"),
        "nightly-speech": ("retrain", "30 4 * * *", "UTC"),
        "daily-upkeep": ("upkeep", "15 4 * * *", "UTC"),
    }
    assert schedules.remove(context, ["nightly-retraining"]) == ["nightly-retraining"]
    fire_due(context)
    assert [s.name for s in schedules.listed(context)] == ["daily-upkeep", "nightly-speech"]
    with pytest.raises(UsageError, match="no schedule nightly-retraining"):
        schedules.remove(context, ["nightly-retraining"])


def test_a_slot_fires_once_however_many_dispatchers_look(operations: Operations):
    operations.watch(2)
    for number in range(6):
        schedules.add(operations.context, plan(name=f"s{number}"))
    operations.turn(hours=1)
    together = threading.Barrier(5)
    fired: list[int] = []

    def look() -> None:
        together.wait()
        fired.extend(fire_due(operations.context) for _ in range(3))

    threads = [threading.Thread(target=look) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(fired) == n_jobs(operations) == len(slots(operations)) == 6


def test_a_slot_that_was_fired_is_taken_even_if_the_schedule_forgot_it(operations: Operations):
    operations.watch(1)
    schedules.add(operations.context, HOURLY)
    operations.turn(hours=1)
    assert fire_due(operations.context) == 1
    end_jobs(operations)
    # As after a restore of a part, or with the clock of another machine behind.
    operations.sql("UPDATE schedules SET next_slot = next_slot - interval '1 hour'")
    assert fire_due(operations.context) == 0
    assert n_jobs(operations) == 1


def test_a_day_of_hours_fires_each_of_them(operations: Operations):
    ids = operations.watch(3)
    schedules.add(operations.context, plan(params={"channel_ids": ids[:2]}))
    for _ in range(24 * 12):
        operations.turn(minutes=5)
        fire_due(operations.context)
        end_jobs(operations)
    noon = datetime(2026, 7, 15, 12, tzinfo=UTC)
    assert slots(operations) == [(noon + timedelta(hours=h), "fired", None) for h in range(1, 25)]
    assert {tuple(p["channel_ids"]) for (p,) in operations.sql("SELECT params FROM jobs")} == {
        tuple(ids[:2])
    }


def test_a_second_run_never_starts_while_the_last_one_runs(operations: Operations):
    operations.watch(1)
    schedules.add(operations.context, HOURLY)
    for _ in range(3):
        operations.turn(hours=1)
        fire_due(operations.context)
    assert [s[1:] for s in slots(operations)] == [
        ("fired", None),
        ("skipped", "stillRunning"),
        ("skipped", "stillRunning"),
    ]
    with pytest.raises(UsageError, match="still runs"):
        schedules.run_now(operations.context, "hourly")
    end_jobs(operations)
    operations.turn(minutes=1)
    schedules.run_now(operations.context, "hourly")
    assert slots(operations)[-1][1:] == ("fired", "by hand")
    assert n_jobs(operations) == 2


@pytest.mark.parametrize(
    ("misfire", "outcome"),
    [("skip", ("skipped", "missed")), ("run-once", ("fired", None))],
)
def test_slots_missed_while_nothing_ran(operations: Operations, misfire, outcome):
    operations.watch(1)
    schedules.add(operations.context, plan(misfire=misfire))
    operations.turn(hours=5, minutes=30)
    fire_due(operations.context)
    [view] = schedules.listed(operations.context)
    assert (view.last_outcome, view.last_reason) == outcome
    assert view.last_slot == datetime(2026, 7, 15, 17, tzinfo=UTC)
    assert view.last_missed_since == datetime(2026, 7, 15, 13, tzinfo=UTC)
    assert view.next_slot == datetime(2026, 7, 15, 18, tzinfo=UTC)
    assert n_jobs(operations) == (1 if misfire == "run-once" else 0)


def test_within_the_grace_a_slot_is_not_missed(operations: Operations):
    operations.watch(1)
    schedules.add(operations.context, plan(misfire="skip", grace_s=600))
    operations.turn(hours=1, minutes=9)
    assert fire_due(operations.context) == 1


def test_nothing_to_work_on_is_a_reason_and_no_failure(operations: Operations):
    schedules.add(operations.context, HOURLY)
    schedules.add(operations.context, plan(name="learn", kind="retrain"))
    operations.turn(hours=1)
    fire_due(operations.context)
    assert {s[1:] for s in slots(operations)} == {("skipped", "noChannels")}


def test_paused_slots_are_not_made_up_for(operations: Operations):
    operations.watch(1)
    schedules.add(operations.context, plan(cron=None, interval_s=3600))
    assert schedules.pause(operations.context, ["hourly"], reason="moving") == ["hourly"]
    assert schedules.pause(operations.context, ["hourly"]) == []
    operations.turn(hours=3, minutes=30)
    fire_due(operations.context)
    assert schedules.resume(operations.context, ["hourly"]) == ["hourly"]
    fire_due(operations.context)
    assert slots(operations) == []
    operations.turn(minutes=30)
    fire_due(operations.context)
    assert [s[1] for s in slots(operations)] == ["fired"]


def test_adding_again_changes_nothing_and_another_of_the_name_is_refused(operations: Operations):
    assert schedules.add(operations.context, HOURLY) is True
    operations.turn(minutes=7)
    assert schedules.add(operations.context, HOURLY) is False
    with pytest.raises(UsageError, match="another schedule named hourly"):
        schedules.add(operations.context, plan(cron="5 * * * *"))
    schedules.remove(operations.context, ["hourly"])
    assert schedules.add(operations.context, plan(cron="5 * * * *")) is True


WRONG: list[dict[str, object]] = [
    {"name": "Not A Name"},
    {"kind": "dance"},
    {"cron": "never"},
    {"cron": None},
    {"interval_s": 60},
    {"cron": None, "interval_s": 59},
    {"time_zone": "Mars/Base"},
    {"misfire": "panic"},
    {"grace_s": -1},
    {"kind": "train", "params": {"channel_ids": []}},
    {"params": {"task": "speech"}},
]


def test_a_wrong_plan_is_refused_and_nothing_written(operations: Operations):
    for wrong in WRONG:
        with pytest.raises(UsageError):
            schedules.add(operations.context, plan(**wrong))
    assert schedules.listed(operations.context) == []


def test_one_schedule_that_cannot_be_read_stops_no_other(operations: Operations):
    operations.watch(1)
    schedules.add(operations.context, plan(name="broken"))
    schedules.add(operations.context, plan(name="well"))
    operations.sql("UPDATE schedules SET time_zone = 'Gone/Zone' WHERE name = 'broken'")
    operations.turn(hours=1)
    assert fire_due(operations.context) == 1
    broken = schedules.listed(operations.context)[0]
    assert broken.state == "paused"
    assert "no time zone" in (broken.paused_reason or "")


def test_a_job_of_steps_goes_on_with_the_step_that_failed(operations: Operations):
    done: list[str] = []
    trouble = [PermanentError("no model", reason="noModel"), TransientError("away", reason="away")]

    def work(context, job):
        for name in ("first", "second", "third"):
            if name not in job.steps:
                if name == "second" and trouble:
                    raise trouble.pop()
                done.append(name)
                job.end_step(name, {"did": name})
        return dict(job.steps)

    def run() -> jobs.JobView:
        [(job_id, token)] = operations.sql(
            "UPDATE jobs SET state = 'running', lease_token = gen_random_uuid(), ready_at = now() "
            "WHERE state = 'queued' RETURNING job_id, lease_token"
        )
        jobs.run(operations.context, job_id, token, work)
        return jobs.view(operations.context, job_id)

    jobs.submit(operations.context, "retrain", {})
    assert run().state == "queued"  # transient: by itself
    failed = run()
    assert (failed.state, failed.error_reason) == ("failed", "noModel")
    assert retries.retry_failed_jobs(operations.context, reason="other") == []
    assert retries.retry_failed_jobs(operations.context, reason="noModel") == [failed.job_id]
    ended = run()
    assert ended.result == {name: {"did": name} for name in ("first", "second", "third")}
    assert done == ["first", "second", "third"]


def test_retraining_says_which_step_cannot_be_done(operations: Operations):
    from services.learning import pipeline

    job_id = jobs.submit(operations.context, "retrain", {})
    assert operations.tick() == ["learning.retrain"]
    [(_, (sent_id, token))] = operations.queue.take()
    assert sent_id == str(job_id)
    jobs.run(operations.context, job_id, uuid.UUID(token), pipeline.retrain)
    ended = jobs.view(operations.context, job_id)
    assert (ended.state, ended.steps) == ("failed", {})  # nothing was collected
    assert ended.error_reason != "defect"
    # As after a night on which training went well and the machine then went down.
    operations.sql('UPDATE jobs SET steps = \'{"train": {"trained": true}}\'')
    assert retries.retry_jobs(operations.context, [str(job_id)]) == [str(job_id)]
    operations.tick()
    [(_, (_, token))] = operations.queue.take()
    jobs.run(operations.context, job_id, uuid.UUID(token), pipeline.retrain)
    assert jobs.view(operations.context, job_id).error_reason == "noModel"  # of scoring


def test_upkeep_makes_partitions_and_forgets_old_slots(operations: Operations):
    from services.work import maintenance

    operations.watch(1)
    schedules.add(operations.context, HOURLY)
    operations.turn(hours=1)
    fire_due(operations.context)
    operations.turn(days=400)
    job_id = jobs.submit(operations.context, "upkeep", {})
    operations.tick()
    token = next(args[1] for name, args in operations.queue.take() if name == "control.maintain")
    jobs.run(operations.context, job_id, uuid.UUID(token), maintenance.work)
    result = jobs.view(operations.context, job_id).result
    assert result is not None
    assert len(result["partitions"]) == 8
    assert result["slots_deleted"] == 1


def test_a_crawl_by_tag_takes_the_tagged_channels_that_are_not_paused(operations):
    context = operations.context
    ids = ["UC" + letter * 22 for letter in "abc"]
    with context.transaction() as session:
        channels.add(session, ids, now=context.clock())
        watchlist.add_tags(session, ids[:2], ["cooking"])
        channels.set_paused(session, ids[:1], paused=True, now=context.clock())
        request = KINDS["crawl"].request
        assert request(session, {"tags": ["cooking"]}) == {"channel_ids": [ids[1]]}
        assert request(session, {"tags": ["none"]}) is NO_CHANNELS
        assert request(session, {}) == {"channel_ids": ids[1:]}
