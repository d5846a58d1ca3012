"""Scoring by shards: the same scores however it is cut, whatever fails, whoever works."""

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ml.thumbnails.models.thumbnail import predict_all
from services.cli.learning_tables import describe_plan
from services.context import Context
from services.embedded import Endpoints
from services.errors import TransientError, UsageError
from services.learning import tasks
from services.learning.thumbnails import datasets, predicting
from services.learning.thumbnails import shards as thumbnail_shards
from services.learning.thumbnails.loaded import ladder
from services.storage import ObjectStore
from services.work import jobs, maintenance, shards
from tests.support.scoring import (
    LATER,
    VIDEOS,
    Scene,
    World,
    cut_small,
    ids,
    same,
    scene,
    sent_without_workers,
    world,
)

ROWS, CHUNK = 16, 8
ALL = VIDEOS + LATER


@pytest.fixture(scope="module")
def learned(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(endpoints, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch, rows=ROWS, chunk=CHUNK)


@pytest.fixture
def stage(learned: World, tmp_path: Path, small: None) -> Iterator[Scene]:
    with scene(learned, tmp_path, "test_scoring_stage") as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(
    learned: World, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[object, ...]]:
    """What one job in one process says, in one shard of each kind."""
    with scene(learned, tmp_path_factory.mktemp("whole"), "test_scoring_whole") as made:
        job_id = made.submit()
        [message] = sent_without_workers(made)
        assert made.work(message) == "succeeded"
        assert made.sql("SELECT is_own, n_rows FROM shards ORDER BY 1") == [
            (False, LATER),
            (True, VIDEOS),
        ]
        assert (made.view(job_id).result or {})["scored"] == ALL
        return made.scores()


def test_many_shards_say_what_one_says_and_a_second_job_reads_and_writes_nothing(
    stage: Scene, undisturbed: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
):
    job_id = stage.submit()
    ended = stage.go_on(job_id, workers=3)
    assert ended.state == "succeeded", ended.error_message
    assert ended.result is not None
    assert (ended.result["scored"], ended.result["unreadable"]) == (ALL, 0)
    assert "set_aside" not in ended.result
    assert (ended.progress_done, ended.progress_total) == (ALL, ALL)
    assert stage.shard_states() == {"done": ALL // ROWS}
    same(stage.scores(), undisturbed)
    # The newest videos come first, own rows before all others.
    planned = stage.sql("SELECT is_own, covers FROM shards ORDER BY number")
    order = [video for is_own, covers in planned for video in covers if not is_own]
    published = dict(stage.sql("SELECT video_id, published_at FROM videos"))
    assert [published[video] for video in order] == sorted(
        (published[video] for video in order), reverse=True
    )
    before = stage.sql("SELECT max(scored_at), count(*) FROM scores")
    monkeypatch.setattr(ObjectStore, "get_apart", None)
    again = stage.score()
    assert (again.state, (again.result or {})["scored"]) == ("succeeded", 0)
    assert stage.sql("SELECT max(scored_at), count(*) FROM scores") == before
    assert stage.sql("SELECT count(*) FROM shards") == [(ALL // ROWS,)]


def test_a_job_holds_no_worker_while_others_do_its_shards(stage: Scene):
    job_id = stage.submit()
    [(name, args)] = stage.tick(workers=2)
    assert stage.work((name, args)) == "running"
    job = stage.view(job_id)
    assert (job.state, job.waiting_until, job.progress_total) == ("running", None, ALL)
    # Two for each worker are under way, and no more before one of them has ended.
    sent = stage.tick(workers=2)
    assert [message[0] for message in sent] == ["scoring.score_shard"] * 4
    assert stage.tick(workers=2) == []
    assert stage.work(sent[0]) == "done"
    assert stage.work(sent[0]) == "taken"  # a message that comes twice
    assert len(stage.tick(workers=2)) == 1


def test_without_workers_of_the_queue_a_job_does_its_shards_itself(
    stage: Scene, undisturbed: list[tuple[object, ...]]
):
    job_id = stage.submit()
    [message] = sent_without_workers(stage)
    assert stage.work(message) == "succeeded"
    assert (stage.view(job_id).result or {})["scored"] == ALL
    same(stage.scores(), undisturbed)


def test_what_is_missing_or_damaged_is_set_aside_by_reason_and_the_rest_is_scored(stage: Scene):
    missing, corrupt, *_ = ids(stage, 2)
    stage.damage(missing, None)
    stage.damage(corrupt, b"other bytes")
    ended = stage.score()
    result = ended.result or {}
    assert (ended.state, result["scored"], result["unreadable"]) == ("succeeded", ALL - 2, 2)
    assert result["set_aside"] == {"objectCorrupt": 1, "objectMissing": 1}
    assert result["set_aside_ids"] == {"objectCorrupt": [corrupt], "objectMissing": [missing]}
    assert stage.sql("SELECT count(DISTINCT video_id) FROM scores") == [(ALL - 2,)]


def test_a_store_that_fails_every_fifth_read_only_delays(
    stage: Scene, undisturbed: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
):
    draw = np.random.default_rng(3)
    read = ObjectStore._read

    async def flaky(self: ObjectStore, sha256: str) -> bytes:
        if draw.random() < 0.2:
            raise OSError("reset by peer")
        return await read(self, sha256)

    monkeypatch.setattr(ObjectStore, "_read", flaky)
    ended = stage.score()
    assert ended.state == "succeeded", ended.error_message
    assert (ended.result or {})["scored"] == ALL
    same(stage.scores(), undisturbed)


def test_a_store_that_is_away_for_some_reads_leaves_them_for_later(
    stage: Scene, undisturbed: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
):
    away = {"is": True}
    read = ObjectStore.get_apart

    def gone(self: ObjectStore, names: list[str]) -> dict[str, object]:
        found = read(self, names)
        error = TransientError("the store failed", reason="storeFailed")
        return {n: error if away["is"] and n < "8" else c for n, c in found.items()}

    monkeypatch.setattr(ObjectStore, "get_apart", gone)
    monkeypatch.setattr("services.learning.stages.TRIES", 1)
    job_id = stage.submit()
    stage.begin(job_id)
    for message in stage.tick(workers=2):
        assert stage.work(message) == "planned"
    assert stage.sql("SELECT count(*) FROM scores")[0][0] > 0
    # A pause before they are tried again.
    waiting = "SELECT count(*) FROM shards WHERE failures = 1 AND ready_at > :now"
    assert stage.sql(waiting, now=stage.clock()) == [(4,)]
    away["is"] = False
    ended = stage.go_on(job_id)
    assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
    same(stage.scores(), undisturbed)


def test_a_picture_that_workers_die_of_ends_up_alone_and_is_set_aside(
    stage: Scene, undisturbed: list[tuple[object, ...]]
):
    [poison] = ids(stage, 1)
    job_id = stage.submit()
    deaths = 0
    while not stage.view(job_id).ended:
        sent = stage.tick()
        if not sent:
            stage.clock.advance(stage.context.lease + timedelta(seconds=1))
        for message in sent:
            if message[0] == "scoring.score_shard" and poison in _covers(stage, message):
                with stage.context.transaction() as session:
                    until = stage.clock() + stage.context.lease
                    token = uuid.UUID(message[1][0])
                    assert shards.rows.begin(session, token, until=until, now=stage.clock())
                deaths += 1  # and it is never heard of again
            else:
                stage.work(message)
    ended = stage.view(job_id)
    result = ended.result or {}
    assert ended.state == "succeeded", ended.error_message
    assert (result["scored"], result["set_aside"]) == (ALL - 1, {"workerLost": 1})
    assert result["set_aside_ids"] == {"workerLost": [poison]}
    # Twice whole, then once for a quarter of it; a row that is alone gets four more.
    assert deaths == 2 + 1 + 4
    same(stage.scores(), [row for row in undisturbed if row[0] != poison])
    assert (ended.progress_done, ended.progress_total) == (ALL, ALL)


def _covers(stage: Scene, message: tuple[str, tuple[str, ...]]) -> list[str]:
    [[covers]] = stage.sql("SELECT covers FROM shards WHERE lease_token = :t", t=message[1][0])
    return list(covers)


def test_two_jobs_at_once_do_no_row_twice(stage: Scene, undisturbed: list[tuple[object, ...]]):
    first, second = stage.submit(), stage.submit()
    stage.begin(first)
    stage.begin(second)
    assert stage.sql("SELECT sum(n_rows) FROM shards") == [(ALL,)]
    ended = stage.go_on(second)
    one, two = stage.view(first), ended
    assert (one.state, two.state) == ("succeeded", "succeeded")
    assert (one.result or {})["scored"] + (two.result or {})["scored"] == ALL
    assert stage.sql("SELECT sum(n_rows) FROM shards") == [(ALL,)]
    same(stage.scores(), undisturbed)


def test_what_a_cancelled_job_left_is_done_by_the_one_that_waited_for_it(
    stage: Scene, undisturbed: list[tuple[object, ...]]
):
    first, second = stage.submit(), stage.submit()
    stage.begin(first)
    stage.begin(second)
    [[n_scored]] = stage.sql("SELECT count(DISTINCT video_id) FROM scores")
    assert n_scored < ALL
    assert jobs.cancel(stage.context, first) == "running"
    ended = stage.go_on(second)
    assert (stage.view(first).state, ended.state) == ("cancelled", "succeeded")
    assert (ended.result or {})["scored"] == ALL - n_scored
    same(stage.scores(), undisturbed)


def test_a_cancelled_job_begins_nothing_and_what_runs_stops_at_the_next_chunk(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    job_id = stage.submit()
    stage.begin(job_id)
    [message, *_] = stage.tick()
    extended = threading.Event()
    extend = shards.ShardHandle._extend

    def told(handle: shards.ShardHandle) -> bool:
        held = extend(handle)
        extended.set()
        return held

    def cancelled(context: Context, handle: shards.ShardHandle, models: object) -> list[object]:
        jobs.cancel(stage.context, job_id)
        told(handle)
        return gather(context, handle, models)  # type: ignore[arg-type, return-value]

    gather = thumbnail_shards._gather
    monkeypatch.setattr(thumbnail_shards, "_gather", cancelled)
    assert stage.work(message) == "cancelled"
    assert stage.sql("SELECT count(*) FROM scores") == [(0,)]
    assert [m for m in stage.tick() if m[0] == "scoring.score_shard"] == []
    stage.clock.advance(stage.context.lease * 2)
    stage.tick()
    assert stage.view(job_id).state == "cancelled"
    assert stage.shard_states() == {"cancelled": ALL // ROWS}


def test_a_paused_job_keeps_its_shards_and_goes_on_when_it_is_resumed(stage: Scene):
    job_id = stage.submit()
    stage.begin(job_id)
    [message, *others] = stage.tick()
    assert jobs.pause(stage.context, job_id)
    assert not jobs.pause(stage.context, job_id)
    assert stage.work(message) == "done"  # what runs finishes
    for other in others:
        stage.work(other)
    stage.clock.advance(timedelta(hours=1))
    assert stage.tick() == []
    assert stage.view(job_id).paused_at is not None
    assert stage.shard_states()["planned"] == ALL // ROWS - 1 - len(others)
    assert jobs.resume(stage.context, job_id)
    ended = stage.go_on(job_id)
    assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
    with pytest.raises(UsageError, match="has ended"):
        jobs.pause(stage.context, job_id)


def test_a_damaged_model_fails_the_job_with_its_reason(stage: Scene):
    url = str(stage.context.settings.storage_url).removeprefix("file://")
    for (files,) in stage.sql("SELECT files FROM model_versions"):
        for sha256 in files.values():
            (Path(url) / sha256[:2] / sha256).unlink(missing_ok=True)
    job_id = stage.submit()
    ended = stage.go_on(job_id)
    assert (ended.state, ended.error_reason) == ("failed", "objectMissing")
    assert stage.shard_states()["failed"] in (1, 2)  # two were under lease
    assert "planned" not in stage.shard_states()


def test_how_fast_it_is_and_when_it_will_have_ended_is_told(stage: Scene):
    job_id = stage.submit()
    stage.begin(job_id)
    for _ in range(3):
        for message in stage.tick():
            stage.work(message)
            if message[0] == "scoring.score_shard":
                stage.clock.advance(timedelta(seconds=8))
    job = stage.view(job_id)
    assert job.rows_per_s == pytest.approx(ROWS / 8)
    left = job.progress_total - job.progress_done
    assert job.eta == stage.clock() + timedelta(seconds=left / (ROWS / 8))
    assert {"rows_per_s", "eta"} <= job.as_json().keys()


def test_ended_shards_are_forgotten_and_the_jobs_result_stays(stage: Scene):
    job_id = stage.submit()
    stage.go_on(job_id)
    upkeep = jobs.submit(stage.context, "upkeep", {})
    stage.clock.advance(timedelta(days=8))
    [(name, (_, token))] = stage.tick()
    assert name == "control.maintain"
    jobs.run(stage.context, upkeep, uuid.UUID(token), maintenance.work)
    assert stage.sql("SELECT count(*) FROM scorings") == [(0,)]
    assert (stage.view(job_id).result or {})["scored"] == ALL


def test_a_night_waits_without_a_worker_and_another_of_the_task_waits_for_it(
    stage: Scene, undisturbed: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        tasks.ThumbnailsTask,
        "night",
        lambda task: {"score": task.score_newest, "scoreRest": task.score_in_use},
    )
    first = jobs.submit(stage.context, "retrain", {})
    [message] = stage.tick()
    assert stage.work(message) == "running"
    second = jobs.submit(stage.context, "retrain", {})
    [message] = [m for m in stage.tick() if m[0] == "learning.retrain"]
    assert stage.work(message) == "queued"
    assert "another retraining" in (stage.view(second).progress_message or "")
    stage.clock.advance(stage.context.lease * 2)  # the shards that nobody took
    ended = stage.go_on(first)
    assert ended.state == "succeeded", ended.error_message
    assert {step: done["scored"] for step, done in ended.steps.items()} == {
        "score": VIDEOS,
        "scoreRest": LATER,
    }
    same(stage.scores(), undisturbed)
    again = stage.go_on(second)
    assert [done["scored"] for done in again.steps.values()] == [0, 0]


def test_what_there_is_to_do_is_told_before_it_starts(stage: Scene):
    thumbnails = tasks.TASKS["thumbnails"]
    planned = thumbnails.estimate(stage.context)
    assert (planned["rows"], planned["shards"]) == (ALL, ALL // ROWS)
    assert (planned["rows_per_s"], planned["seconds"]) == (None, None)
    assert "not measured yet" in describe_plan(planned)
    assert stage.sql("SELECT count(*) FROM shards") == [(0,)]
    stage.score()
    assert thumbnails.estimate(stage.context)["rows"] == 0
    stage.sql("UPDATE shards SET begun_at = ended_at - interval '8 seconds'")
    stage.sql("DELETE FROM scores")
    stage.sql("DELETE FROM current_scores")
    planned = thumbnails.estimate(stage.context)
    assert planned["rows_per_s"] == ROWS / 8
    assert planned["seconds"] == ALL / (ROWS / 8)
    assert "0:01:36" in describe_plan(planned)


def test_own_rows_are_scored_with_what_was_frozen_of_them(
    stage: Scene, undisturbed: list[tuple[object, ...]], tmp_path: Path
):
    """Held against the dataset's own rows, predicted at once and without any shard."""
    known = {row[:3]: row[3:] for row in undisturbed}
    ids_ = [model_id for (model_id,) in stage.sql("SELECT model_version_id FROM model_versions")]
    models = ladder(stage.context, ids_)
    [[dataset_id]] = stage.sql("SELECT dataset_id FROM datasets")
    dataset = datasets.fetch_without_pictures(stage.context, dataset_id, tmp_path / "dataset")
    keys = [dataset.strings(name) for name in ("video_id", "thumbnail_sha256")]
    n_compared = 0
    for places, features in predicting.pages(stage.context, models.rungs, dataset.table):
        for model, said in zip(models.models, predict_all(models.rungs, features), strict=True):
            expected = [
                known[keys[0][place], keys[1][place], model.model_version_id] for place in places
            ]
            found = np.stack([said.probability_over, said.log10_views_per_day], axis=1)
            np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=1e-5, atol=1e-6)
            n_compared += len(expected)
    assert n_compared == VIDEOS * len(ids_)
