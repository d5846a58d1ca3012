"""Each alert, by its real cause: nothing fires before, exactly this fires then.

What is scraped is what the API's own page tells and what this process counted; Prometheus' own
promtool evaluates the rules on it.
"""

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries.learning import drift
from db.queries.work import fleet, work_items
from db.queries.work import jobs as job_rows
from services import schedules
from services.crawl import plan
from services.dispatcher import Dispatcher
from services.emulator.synthetic import synthetic_catalog
from services.errors import PermanentError, TransientError
from services.queue import DISPATCHER
from services.schedules import Plan
from services.tick import Chore
from services.work import jobs, leases, pauses
from services.work.fleet import Member
from services.work.kinds import VIDEO_SNAPSHOT
from tests.support.catalogue import Catalogue
from tests.support.crawl import NOW
from tests.support.databases import owner_engine
from tests.support.embedded import wait_until
from tests.support.emulator import fetch
from tests.support.watched import Watched, watched_crawl

pytestmark = pytest.mark.slow
CATALOG = synthetic_catalog(seed=3, epoch=NOW, channels=4, videos=40)


def strike(watched: Watched, endpoint: str, fault: str, share: float) -> None:
    """Have the offline YouTube go wrong from now on."""
    data = json.dumps({"seed": 1, "rates": {endpoint: {fault: share}}}).encode()
    assert fetch(f"{watched.crawl.url}/emulator/faults", data=data).status == 200


def test_a_clean_day_is_silent(context):
    """Hour by hour, with everything that falls due in it, and its upkeep."""
    with watched_crawl(context, CATALOG) as watched:
        for _ in range(24):
            watched.crawl.settle()
            watched.beat()
            watched.timeline.stays(watched.scrape(), timedelta(minutes=50))
            watched.crawl.turn(hours=1)
            # Before anybody has looked at what fell due.
            watched.timeline.stays(watched.scrape(), timedelta(minutes=10))
        found = watched.scrape()
        plan.record(watched.context)
        watched.timeline.stays(watched.scrape(), timedelta(hours=2))
        assert watched.timeline.fired() == set()
    read = sum(
        value
        for name, value in found.items()
        if name.startswith("tubegrader_work_done_total") and "video.snapshot" in name
    )
    assert read >= len(CATALOG.videos), "there was something to be silent about"


def test_nobody_dispatches(watched: Watched):
    """The dispatcher is gone without a word."""
    watched.members.pop(DISPATCHER)
    sql(watched, "UPDATE elections SET done_at = done_at - interval '5 minutes'")
    sql(watched, "UPDATE worker_processes SET seen_at = seen_at - interval '5 minutes' "
        "WHERE role = 'dispatcher'")  # fmt: skip
    assert watched.stays(minutes=10) == {
        "NothingDispatched",
        "QueueWithoutWorkers",
        "ProcessSilent",
    }
    assert ("QueueWithoutWorkers", "dispatcher") in watched.about()


def test_a_dispatcher_that_ends_in_order_leaves_word_when_it_last_did_anything(watched: Watched):
    watched.members.pop(DISPATCHER).leave()
    sql(watched, "UPDATE elections SET done_at = done_at - interval '5 minutes'")
    assert watched.stays(minutes=10) == {"NothingDispatched", "QueueWithoutWorkers"}


def test_a_queue_has_no_workers(watched: Watched):
    watched.members.pop("learning").leave()
    assert watched.stays(minutes=5) == {"QueueWithoutWorkers"}
    assert watched.about() == {("QueueWithoutWorkers", "learning")}


def test_a_machine_lacks_what_its_work_needs(watched: Watched):
    with watched.context.transaction() as session:
        fleet.set_unfit(
            session,
            watched.members["scoring"].name,
            "modelsNeedMore",
            "needs AVX2",
            models=None,
            within=timedelta(hours=1),
        )
    assert watched.stays(minutes=10) == {"WorkerUnfit", "QueueWithoutWorkers"}


def test_a_chore_hangs_and_another_one_fails(watched: Watched):
    hold, stop = threading.Event(), threading.Event()

    def fails(_: object) -> None:
        raise TransientError("Redis cannot be reached", reason="brokerUnreachable")

    chores = [
        Chore("dawdle", lambda _: hold.wait(), timedelta(), timedelta(milliseconds=50),
              is_essential=False),
        Chore("hand out", fails, timedelta(milliseconds=20)),
    ]  # fmt: skip
    watched.members.pop(DISPATCHER).leave()
    dispatcher: Dispatcher | None = None
    member = Member(
        watched.context, DISPATCHER, late=lambda: dispatcher.late() if dispatcher else None
    )
    dispatcher = Dispatcher(watched.context, member, chores)
    running = threading.Thread(target=dispatcher.run, args=(stop,))
    running.start()
    try:
        failures = 'tubegrader_chore_failures_total{chore="hand out",instance="worker",'
        failures += 'job="tubegrader",reason="brokerUnreachable"}'
        wait_until(lambda: watched.scrape().get(failures, 0) >= 20, "failures")
        wait_until(lambda: dispatcher.late() is not None, "a chore that hangs")
        member.beat()
        found = watched.scrape()
    finally:
        hold.set()
        stop.set()
        running.join(30)
        member.leave()
    # As it went on: that many failures in ten minutes, and again.
    for n in range(1, 21):
        step = {**found, failures: n * 3.0}
        watched.timeline.stays(step, timedelta(minutes=1))
    assert {"ChoreHangs", "ChoreFails"} <= watched.timeline.firing()


def test_work_is_overdue_though_nothing_holds_it_back(watched: Watched):
    watched.crawl.turn(days=2)  # and nobody looks
    watched.beat()
    assert watched.stays(minutes=20) >= {"WorkOverdue"}
    assert (
        not {("WorkOverdue", "video.thumbnail"), ("WorkOverdue", "video.audio")} & watched.about()
    )


@pytest.mark.parametrize(("hours", "alerts"), [(2, set()), (13, {"MediaOverdue"})])
def test_pictures_of_many_new_channels_wake_nobody(watched: Watched, hours: int, alerts: set[str]):
    with owner_engine(watched.context) as engine, engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE work_items SET state = 'due', slot = :at, ready_at = :at "
                "WHERE kind = 'video.thumbnail'"
            ),
            {"at": watched.crawl.clock() - timedelta(hours=hours)},
        )
    watched.beat()
    assert watched.stays(minutes=20) == alerts


def test_what_is_paused_is_not_overdue(watched: Watched):
    pauses.pause(watched.context, reason="moving house")
    watched.crawl.turn(days=2)
    watched.beat()
    assert watched.stays(minutes=20) == set()


def test_counts_are_read_hours_late(watched: Watched):
    watched.crawl.turn(days=2)
    watched.crawl.settle()
    watched.beat()
    assert watched.stays(minutes=20) == {"SnapshotsLate"}
    assert ("SnapshotsLate", "video.snapshot") in watched.about()


def test_batches_take_longer_than_their_lease(watched: Watched):
    context = watched.context
    watched.crawl.turn(days=1)
    for _ in range(5):
        with context.transaction() as session:
            token = work_items.claim(
                session, VIDEO_SNAPSHOT.name, limit=5, now=context.clock(), lease=context.lease
            )
        assert token is not None
        with leases.begin(context, token) as batch:
            watched.crawl.turn(seconds=2 * context.lease.total_seconds())
            with context.transaction() as session:  # another worker has it by now
                while work_items.claim(
                    session, VIDEO_SNAPSHOT.name, limit=500, now=context.clock(),
                    lease=timedelta(seconds=1),
                ):  # fmt: skip
                    pass
            batch.heartbeat()
        watched.crawl.turn(minutes=5)
    watched.crawl.settle()
    assert "LeasesLost" in watched.stays(minutes=8)


def test_a_host_refuses_us(watched: Watched):
    strike(watched, "thumbnails", "forbidden", 1)
    watched.crawl.turn(days=8)
    watched.crawl.settle()
    watched.beat()
    assert "BreakerOpen" in watched.stays(minutes=6)
    assert ("BreakerOpen", "thumbnails") in watched.about()


def test_most_of_what_a_host_is_asked_fails(context):
    with watched_crawl(context, CATALOG) as watched:
        watched.timeline.stays(watched.scrape(), timedelta(minutes=15))
        strike(watched, "thumbnails", "pixel", 0.8)
        for _ in range(12):
            watched.crawl.settle()
            watched.beat()
            watched.timeline.stays(watched.scrape(), timedelta(minutes=1))
            watched.crawl.turn(hours=2)
        assert ("HostFailing", "thumbnails") in watched.about()


def test_the_quota_is_used_up_and_was_too_small_for_the_cadence(watched: Watched):
    watched.context.settings = watched.context.settings.model_copy(
        update={"youtube_daily_units": 1}
    )
    watched.crawl.turn(hours=12)  # what was read is due again within a day
    watched.beat()
    plan.record(watched.context)
    assert watched.stays(hours=2) == {"QuotaExhausted", "QuotaTooSmall"}
    assert watched.about() == {("QuotaExhausted", "units"), ("QuotaTooSmall", "units")}


def test_a_job_fails(watched: Watched):
    def fails(*_: object) -> dict[str, object]:
        raise PermanentError("too few videos", reason="tooFewVideos")

    job_id = jobs.submit(watched.context, "train", {})
    with watched.context.transaction() as session:
        [claimed] = job_rows.claim(
            session, kinds=["train"], limit=1, now=watched.crawl.clock(), lease=timedelta(hours=1)
        )
        token = claimed.lease_token
    assert token is not None
    assert jobs.run(watched.context, job_id, token, fails) == "failed"
    assert watched.stays(minutes=1) == {"JobFailed"}
    assert watched.about() == {("JobFailed", "train")}
    watched.crawl.turn(hours=2)
    watched.beat()
    assert "JobFailed" not in watched.stays(minutes=1), "it is told of for an hour"


def test_a_job_is_stuck(watched: Watched):
    jobs.submit(watched.context, "train", {})  # and the learning workers do something else
    watched.crawl.turn(hours=2)
    watched.beat()
    found = watched.stays(minutes=10)
    assert "JobStuck" in found
    assert ("JobStuck", "train") in watched.about()


def test_a_job_of_a_queue_that_is_paused_is_not_stuck(watched: Watched):
    pauses.pause(watched.context, "learning")
    jobs.submit(watched.context, "train", {})
    watched.crawl.turn(hours=2)
    watched.beat()
    watched.stays(minutes=10)
    assert ("JobStuck", "train") not in watched.about()
    pauses.resume(watched.context, "learning")
    watched.stays(minutes=10)
    assert ("JobStuck", "train") in watched.about()


def test_a_schedule_does_not_fire(watched: Watched):
    schedules.add(
        watched.context,
        Plan("nightly", "train", "0 3 * * *", None, "UTC", "run-once", 300, {}),
    )
    assert watched.stays(hours=1) == set()
    watched.crawl.turn(hours=20)
    watched.beat()
    assert "ScheduleLate" in watched.stays(minutes=10)
    assert ("ScheduleLate", "nightly") in watched.about()


def test_no_model_was_trained_for_days(watched: Watched):
    catalogue = Catalogue(watched.context, watched.crawl.clock())
    catalogue.add(2)
    catalogue.train()
    schedules.add(
        watched.context, Plan("nightly", "retrain", "0 3 * * *", None, "UTC", "skip", 300, {})
    )
    assert watched.stays(hours=2) == set()
    watched.crawl.turn(days=4)
    watched.beat()
    assert "ModelStale" in watched.stays(hours=2)
    assert ("ModelStale", "thumbnails") in watched.about()


def test_redis_is_away(watched: Watched, endpoints):
    settings = watched.context.settings
    del watched.context.__dict__["queue"]
    watched.context.settings = settings.model_copy(update={"redis_url": endpoints.redis_url})
    assert watched.stays(minutes=10) == set()
    del watched.context.__dict__["queue"]
    nobody = {"redis_url": "redis://127.0.0.1:9/0"}
    watched.context.settings = settings.model_copy(update=nobody)
    assert watched.stays(minutes=5) == {"BrokerAway"}


def test_the_database_is_away(watched: Watched):
    known = watched.context.__dict__
    before = {name: known.pop(name) for name in ("engine", "sessions")}
    settings = watched.context.settings
    nobody = {"database_url": "postgresql+psycopg://app@127.0.0.1:9/none"}
    watched.context.settings = settings.model_copy(update=nobody)
    try:
        # At the port, which asks nobody who they are; the page cannot know that now.
        assert watched.client.get("/metrics").status_code == 503
        watched.timeline.stays(watched.scrape_port(), timedelta(minutes=10))
        assert watched.timeline.firing() == {"DatabaseAway"}
    finally:
        watched.context.engine.dispose()
        known.update(before)
        watched.context.settings = settings


def test_the_newest_report_found_drift(watched: Watched):
    catalogue = Catalogue(watched.context, watched.crawl.clock())
    catalogue.add(2)
    model, *_ = catalogue.train()
    report = {
        "created_at": watched.crawl.clock(),
        "model_version_id": model,
        "status": "drift",
        "sentence": "New videos are watched more.",
        "window_from": watched.crawl.clock(),
        "window_to": watched.crawl.clock(),
        **dict.fromkeys(("n_videos", "n_channels"), 90),
        **dict.fromkeys(("n_reference_videos", "n_reference_channels"), 90),
    }
    with watched.context.transaction() as session:
        drift.add(session, report, [])
    assert watched.stays(minutes=1) == {"DriftFound"}


def test_the_store_is_away(watched: Watched, tmp_path: Path):
    folder = Path(str(watched.context.settings.storage_url).removeprefix("file://"))
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_text("a file where a folder was")
    try:
        assert watched.stays(minutes=10) == {"StoreAway"}
    finally:
        folder.unlink()
        aside.rename(folder)


def sql(watched: Watched, statement: str, **values: object) -> list[tuple[object, ...]]:
    with watched.context.engine.begin() as connection:
        found = connection.execute(text(statement), values)
        return [tuple(row) for row in found] if found.returns_rows else []
