"""What was learned goes by nights: all but the newest, what is in use, and every champion."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from db.queries.learning import datasets, model_versions, promotions
from services.context import Context
from services.errors import PermanentError
from services.learning.promotion import decisions
from services.learning.promotion.decisions import Decision
from services.learning.thumbnails import training
from services.policy import learned, ownership, retention
from services.settings import Settings
from services.work import jobs
from tests.support.crawl import rows, value
from tests.support.databases import owner_engine
from tests.support.nights import NOW, add_night, add_videos, decide

VIDEOS, CLIPS = 40, 4
KINDS = ("scores", "models", "datasets")


@pytest.fixture
def nightly(context: Context) -> Context:
    """Keeps three nights; forty videos to be scored."""
    context.settings = Settings(**{**context.settings.model_dump(), "retention_nights": 3})
    context.clock = lambda: NOW
    add_videos(context, VIDEOS)
    return context


def purged(context: Context, *kinds: str, dry_run: bool = False) -> dict[str, int]:
    report = retention.purge(context, dry_run=dry_run, kinds=kinds or KINDS)
    assert [found.refused for found in report.kinds] == [None] * len(report.kinds)
    return {found.kind: found.rows for found in report.kinds}


def kept(context: Context) -> set[str]:
    return {d for (d,) in rows(context, "SELECT dataset_id FROM datasets")}


def scored(context: Context) -> set[str]:
    query = "SELECT DISTINCT dataset_id FROM {} JOIN model_versions USING (model_version_id)"
    return {
        d for table in ("scores", "language_scores") for (d,) in rows(context, query.format(table))
    }


def named(context: Context) -> set[str]:
    """The objects that datasets and models name, but for pictures that were let go of."""
    query = """
        SELECT value FROM model_versions, jsonb_each_text(files) UNION
        SELECT value FROM datasets, jsonb_each_text(files)
        WHERE pictures_purged_at IS NULL OR key NOT LIKE '%.tar'
    """
    return {name for (name,) in rows(context, query)}


def in_store(context: Context) -> set[str]:
    return set(context.store.names())


def test_a_dry_run_says_what_then_goes_and_the_newest_nights_stay_whole(nightly: Context):
    ids = {days: add_night(nightly, days) for days in (0, 1, 2, 3, 40)}
    spoken = {days: add_night(nightly, days, task="speech") for days in (0, 9, 10, 11)}
    failed = {days: add_night(nightly, days, trained=False) for days in (0, 1, 5, 6)}
    said = purged(nightly, dry_run=True)
    assert said == {"scores": 2 * 2 * VIDEOS + CLIPS, "models": 2 * 2 + 1, "datasets": 1}
    assert len(kept(nightly)) == 13
    assert purged(nightly) == said
    gone = {ids[3], ids[40], spoken[11], failed[6]}
    assert kept(nightly) == {*ids.values(), *spoken.values(), *failed.values()} - gone
    assert scored(nightly) == kept(nightly) - set(failed.values())
    assert in_store(nightly) == named(nightly)
    assert purged(nightly) == dict.fromkeys(KINDS, 0)


def test_what_is_removed_can_be_read_for_a_week_more(nightly: Context):
    add_night(nightly, 40)
    before = in_store(nightly)
    for days in (0, 1, 2):
        add_night(nightly, days)
    purged(nightly, "models")
    assert not before & in_store(nightly)
    assert len(nightly.store.get_many(before)) == len(before)


@pytest.mark.parametrize("is_noted", [True, False], ids=["noted", "of an earlier release"])
def test_no_number_of_a_version_comes_twice_though_all_of_its_rung_are_gone(
    nightly: Context, *, is_noted: bool
):
    long_ago = NOW - timedelta(days=40)

    def add(dataset_id: str) -> int:
        with nightly.transaction() as session:
            return model_versions.add(
                session, rung="once", dataset_id=dataset_id, job_id=None, trained_at=long_ago,
                code_version="1", seed=0, config={}, files={}, task="thumbnails",
            ).version  # fmt: skip

    old = add_night(nightly, 40)
    assert [add(old), add(old)] == [1, 2]
    if not is_noted:
        with nightly.engine.begin() as connection:
            connection.execute(text("DELETE FROM rung_versions"))
    newer = [add_night(nightly, days) for days in (0, 1, 2)]
    purged(nightly, "models")
    assert value(nightly, "SELECT count(*) FROM model_versions WHERE rung = 'once'") == 0
    assert [add(newer[0]), add(newer[0])] == [3, 4]


def test_every_champion_stays_without_scores_and_pictures_once_it_is_long_past(nightly: Context):
    ids = [add_night(nightly, days) for days in (90, 80, 70, 60, 50, 2, 1, 0)]
    for dataset_id, days in zip(ids[:4], (90, 80, 70, 60), strict=True):
        decide(nightly, dataset_id, "promoted", days=days)
    decide(nightly, ids[4], "kept", days=50)
    for dataset_id in ids[5:]:
        decide(nightly, dataset_id, "kept")
    assert purged(nightly, dry_run=True) == (done := purged(nightly))
    assert done == {"scores": (1 + 1) * 2 * VIDEOS, "models": 2, "datasets": 1}
    assert kept(nightly) == {*ids} - {ids[4]}
    # The champion, and those of the last two changes, whom one may go back to.
    assert scored(nightly) == {*ids} - {ids[0], ids[4]}
    assert rows(
        nightly, "SELECT dataset_id FROM datasets WHERE pictures_purged_at = :n", n=NOW
    ) == [(ids[0],)]
    assert in_store(nightly) == named(nightly)


def test_views_tell_of_what_stays_as_before(nightly: Context):
    champion = add_night(nightly, 60)
    decide(nightly, champion, "promoted", days=60)
    for days in (50, 2, 1, 0):
        decide(nightly, add_night(nightly, days), "kept", days=days)
    views = {
        "scored_videos": "SELECT * FROM scored_videos ORDER BY video_id, rung",
        "champion_ladders": "SELECT * FROM champion_ladders ORDER BY rung",
        "promotion_history": "SELECT * FROM promotion_history ORDER BY promotion_id",
        "model_comparison": "SELECT * FROM model_comparison ORDER BY evaluation_id, rung",
    }
    before = {name: rows(nightly, query) for name, query in views.items()}
    assert len(before["scored_videos"]) == 2 * VIDEOS
    purged(nightly)
    after = {name: rows(nightly, query) for name, query in views.items()}
    assert after["scored_videos"] == before["scored_videos"]
    assert after["champion_ladders"] == before["champion_ladders"]
    # The night that lost fifty days ago is gone from both, and nothing else.
    history = before["promotion_history"]
    assert after["promotion_history"] == [history[0], *history[2:]]
    compared = before["model_comparison"]
    assert after["model_comparison"] == compared[:2] + compared[4:]


def test_what_a_job_that_has_not_ended_works_on_stays(nightly: Context):
    old = [add_night(nightly, days) for days in (60, 59, 58, 57)]
    add_night(nightly, 56, trained=False)
    for days in (0, 1, 2):
        add_night(nightly, days)
        add_night(nightly, days, trained=False)
    job_ids = [jobs.submit(nightly, "retrain", {}) for _ in range(3)]
    with nightly.engine.begin() as connection:
        for job_id, step, dataset_id in zip(job_ids, ("dataset", "train", None), old, strict=False):
            if step is not None:
                steps = json.dumps({step: {"dataset_id": dataset_id}})
                statement = "UPDATE jobs SET steps = CAST(:s AS jsonb) WHERE job_id = :j"
                connection.execute(text(statement), {"s": steps, "j": job_id})
            else:
                statement = "UPDATE model_versions SET job_id = :j WHERE dataset_id = :d"
                connection.execute(text(statement), {"j": job_id, "d": dataset_id})
    purged(nightly)
    assert kept(nightly) & {*old} == {*old[:3]}
    assert scored(nightly) >= {*old[:3]}


def test_a_job_that_failed_long_ago_and_is_retried_learns_from_what_there_is_now(nightly: Context):
    steps = {"dataset": {"dataset_id": "f" * 64, "is_new": True}}
    job = jobs.JobHandle(nightly, uuid.uuid4(), uuid.uuid4(), {"backbone": False}, steps)
    with pytest.raises(PermanentError) as caught:
        training.train(nightly, job)
    assert caught.value.reason == "noData", "and not that its dataset is gone, for ever"


def test_a_dataset_that_is_frozen_again_is_of_this_night(nightly: Context):
    old = add_night(nightly, 60, trained=False)
    for days in (0, 1, 2):
        add_night(nightly, days, trained=False)
    with nightly.transaction() as session:
        assert datasets.renew(session, old, now=NOW) is not None
        assert datasets.renew(session, "f" * 64, now=NOW) is None
    purged(nightly)
    assert old in kept(nightly)


def test_who_promotes_a_model_by_hand_while_its_night_goes_is_told(nightly: Context):
    old = add_night(nightly, 60)
    for days in (0, 1, 2):
        add_night(nightly, days)
    with nightly.transaction() as session:
        [version] = [
            v for v in model_versions.versions_of(session, "subscribers") if v.dataset_id == old
        ]
    purged(nightly)
    with pytest.raises(PermanentError) as refused:
        decisions.carry_out(
            nightly, "thumbnails", Decision("byHand", "byHand", "why", None, version)
        )
    assert refused.value.reason == "modelRemoved"
    with nightly.transaction() as session:
        assert promotions.model_of(session, task="thumbnails") is None


def test_a_night_that_another_table_names_stays_and_the_others_go(nightly: Context):
    old = [add_night(nightly, days) for days in (60, 59)]
    for days in (0, 1, 2):
        add_night(nightly, days)
    with owner_engine(nightly) as engine, engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE notes AS SELECT model_version_id FROM model_versions "
                "WHERE dataset_id = :d"
            ),
            {"d": old[0]},
        )
        connection.execute(
            text("ALTER TABLE notes ADD FOREIGN KEY (model_version_id) REFERENCES model_versions")
        )
    [found] = retention.purge(nightly, dry_run=False, kinds=["models"]).kinds
    assert found.held == {learned.NAMED: 1}
    assert old[0] in kept(nightly)
    assert old[1] not in kept(nightly)


def test_nothing_of_another_installations_store_is_put_away(nightly: Context):
    add_night(nightly, 60)
    for days in (0, 1, 2):
        add_night(nightly, days)
    ownership.claim(nightly)
    with nightly.engine.begin() as connection:
        connection.execute(text("UPDATE installation SET installation_id = gen_random_uuid()"))
    before = in_store(nightly)
    report = retention.purge(nightly, dry_run=False, kinds=["models", "datasets"])
    assert {found.refused.reason for found in report.kinds if found.refused} == {"foreignStore"}
    assert in_store(nightly) == before
    assert len(kept(nightly)) == 4


def test_a_purge_that_is_broken_off_is_taken_up(nightly: Context, monkeypatch):
    monkeypatch.setattr(learned, "BATCH", 20)
    monkeypatch.setattr(learned, "MOST_ENTITIES", 4)
    for days in (0, 1, 2, 50, 60, 70):
        add_night(nightly, days)

    def stop(kind: str, gone: int) -> None:
        if (kind, gone) >= ("scores", 60):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        retention.purge(nightly, dry_run=False, kinds=KINDS, progress=stop)
    left = value(nightly, "SELECT count(*) FROM scores")
    assert 3 * 2 * VIDEOS < left < 6 * 2 * VIDEOS
    assert len(kept(nightly)) == 6
    assert purged(nightly)["scores"] == left - 3 * 2 * VIDEOS
    assert len(kept(nightly)) == 3


def test_two_who_purge_at_once_remove_each_row_once(nightly: Context, monkeypatch):
    monkeypatch.setattr(learned, "BATCH", 20)
    monkeypatch.setattr(learned, "MOST_ENTITIES", 4)
    for days in range(8):
        add_night(nightly, days)
    said = purged(nightly, dry_run=True)
    with closing(dataclasses.replace(nightly)) as other, ThreadPoolExecutor(2) as pool:
        done = [
            f.result(timeout=120)
            for f in (pool.submit(purged, nightly), pool.submit(purged, other))
        ]
    assert {kind: done[0][kind] + done[1][kind] for kind in KINDS} == said
    assert len(kept(nightly)) == 3
    assert in_store(nightly) == named(nightly)


KILLED = """
import sys
from services.context import Context
from services.policy import learned, retention
from services.settings import Settings
from tests.support.nights import NOW

learned.BATCH = learned.MOST_ENTITIES = 2
context = Context(Settings(), lambda: NOW)

def wait(kind, gone):
    if kind == sys.argv[1] and gone >= int(sys.argv[2]):
        print("there", flush=True)
        sys.stdin.read()

retention.purge(context, dry_run=False, kinds=["scores", "models"], progress=wait)
"""


@pytest.mark.parametrize("at", [("scores", "40"), ("models", "2")])
def test_a_purge_that_is_killed_is_taken_up(nightly: Context, at):
    for days in range(6):
        add_night(nightly, days)
    settings = nightly.settings
    environment = {
        **os.environ,
        "TUBEGRADER_HOME": str(settings.home),
        "TUBEGRADER_DATABASE_URL": str(settings.database_url),
        "TUBEGRADER_STORAGE_URL": str(settings.storage_url),
        "TUBEGRADER_RETENTION_NIGHTS": "3",
    }
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *at],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert b"there\n" in iter(process.stdout.readline, b"")
        process.send_signal(signal.SIGKILL)
    assert value(nightly, "SELECT count(*) FROM scores") < 6 * 2 * VIDEOS
    purged(nightly)
    assert len(kept(nightly)) == 3
    assert scored(nightly) == kept(nightly)
    assert in_store(nightly) == named(nightly)


def test_transactions_stay_short_however_many_scores_go(nightly: Context, monkeypatch):
    monkeypatch.setattr(learned, "BATCH", 20)
    for days in range(5):
        add_night(nightly, days)
    deleted = []

    @event.listens_for(nightly.engine, "after_cursor_execute")
    def note(_connection, cursor, statement, *_rest: object) -> None:
        if statement.startswith("DELETE FROM scores"):
            deleted.append(cursor.rowcount)

    purged(nightly)
    assert sum(deleted) == 2 * 2 * VIDEOS
    # Twice what a batch is to hold, and the growth of one step.
    assert len(deleted) >= 8
    assert max(deleted) <= 4 * 20


def test_memory_does_not_grow_with_the_scores_that_go(nightly: Context, monkeypatch):
    monkeypatch.setattr(learned, "BATCH", 200)
    peaks = []
    for more in (VIDEOS * 9, VIDEOS * 90):
        with owner_engine(nightly) as engine, engine.begin() as connection:
            connection.execute(text("TRUNCATE channels, thumbnails, datasets CASCADE"))
        add_videos(nightly, more)
        for days in range(5):
            add_night(nightly, days)
        tracemalloc.start()
        assert purged(nightly, "scores")["scores"] == 2 * 2 * more
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_reports_on_drift_outlive_the_dataset_and_go_after_a_year(nightly: Context):
    from db.queries.learning import drift

    champion = add_night(nightly, 60)
    decide(nightly, champion, "promoted", days=60)
    old = add_night(nightly, 50)
    for days in (0, 1, 2):
        add_night(nightly, days)
    with nightly.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO drift_reports (created_at, model_version_id, dataset_id, status, "
                "sentence, n_videos, n_channels, n_reference_videos, n_reference_channels) "
                "SELECT :at, min(model_version_id), :d, 'notEnough', 'Too few.', 0, 0, 0, 0 "
                "FROM model_versions WHERE dataset_id = :c"
            ),
            {"at": NOW - timedelta(days=50), "d": old, "c": champion},
        )
    purged(nightly)
    assert old not in kept(nightly)
    assert rows(nightly, "SELECT status FROM drift_findings") == [("notEnough",)]
    with nightly.transaction() as session:
        assert drift.forget(session, before=NOW - timedelta(days=51)) == 0
        assert drift.forget(session, before=NOW) == 1
