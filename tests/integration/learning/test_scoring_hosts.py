"""A worker whose machine lacks something, and one that hangs, hold up nobody else's scoring."""

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries.work import scorings, shard_claims
from services import notify
from services.context import Context
from services.embedded import Endpoints
from services.errors import PermanentError, TransientError
from services.learning.thumbnails import shards as thumbnail_shards
from services.learning.thumbnails.loaded import Ladder
from services.storage import ObjectStore
from services.work import fitness, fleet, jobs, shards
from services.work.waiting import waits_for
from tests.support.scoring import LATER, NOW, VIDEOS, Scene, World, cut_small, scene, world

ALL, ROWS = VIDEOS + LATER, 16


@pytest.fixture(scope="module")
def learned(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(endpoints, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def stage(learned: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    cut_small(monkeypatch, rows=ROWS, chunk=8)
    monkeypatch.setattr(fitness, "_own", fitness._Own())
    with scene(learned, tmp_path, "test_scoring_hosts") as made:
        yield made


def become(name: str, patch: pytest.MonkeyPatch) -> None:
    """Go on as a process of its own, which is heard of under this name."""
    patch.setenv(fitness.PROCESS, name)
    patch.setattr(fitness, "_own", fitness._Own())


def without_weights(
    patch: pytest.MonkeyPatch,
    *,
    reason: str = "backboneWeightsMissing",
    of: Sequence[int] | None = None,
) -> list[Sequence[int]]:
    """Have no weights here, for some models or all; what was asked of them."""
    asked: list[Sequence[int]] = []
    there = thumbnail_shards.ladder

    def lacking(context: Context, models: Sequence[int]) -> Ladder:
        if of is not None and list(models) != list(of):
            return there(context, models)
        asked.append(models)
        raise PermanentError("weights are not installed", reason=reason)

    patch.setattr(thumbnail_shards, "ladder", lacking)
    return asked


def begun(stage: Scene, workers: int) -> uuid.UUID:
    job_id = stage.submit()
    [message] = stage.tick(workers)
    assert stage.work(message) == "running"
    return job_id


def test_a_machine_without_weights_gives_its_shards_back_and_the_others_go_on(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    job_id = begun(stage, workers=2)
    sent = stage.tick(workers=2)
    with monkeypatch.context() as patch:
        become("w0", patch)
        asked = without_weights(patch)
        assert [stage.work(message) for message in sent[:3]] == ["planned"] * 3
        assert len(asked) == 1, "it knows by then"
    with stage.context.transaction() as session:
        assert fleet.workers_of(session, shards.SCORING) == 1
        [lacking] = [p for p in fleet.seen(session) if not p.is_fit]
    assert (lacking.name, lacking.unfit_reason) == ("w0", "backboneWeightsMissing")
    assert "weights are not installed" in (lacking.unfitness or "")
    # The newest first again, and no more of them than the other one takes.
    assert stage.work(sent[3]) == "done"
    again = stage.tick(workers=2)
    numbers = "SELECT number FROM shards WHERE state = 'leased' ORDER BY 1"
    assert [number for (number,) in stage.sql(numbers)] == [0, 1]
    for message in again:
        assert stage.work(message) == "done"
    ended = stage.go_on(job_id, workers=2)
    assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
    assert stage.sql("SELECT max(failures), max(losses) FROM shards") == [(0, 1)]


def test_where_no_machine_has_the_weights_the_job_waits_and_says_so(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    job_id = begun(stage, workers=1)
    become("w0", monkeypatch)
    with monkeypatch.context() as patch:
        without_weights(patch)
        for message in stage.tick():
            stage.work(message)
    assert stage.tick() == []
    [waiting] = waits_for(stage.context, job_id)
    assert waiting.reason == "backboneWeightsMissing"
    assert "weights are not installed" in waiting.line
    # They are installed by the time it tries again.
    stage.sql("UPDATE worker_processes SET unfit_until = clock_timestamp()")
    monkeypatch.setattr(fitness, "_own", fitness._Own())
    ended = stage.go_on(job_id)
    assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
    assert stage.sql("SELECT unfit_reason, unfit_until FROM worker_processes") == [(None, None)]


def test_a_job_that_does_its_own_shards_waits_for_weights_without_spending_attempts(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    job_id = stage.submit()
    with monkeypatch.context() as patch:
        without_weights(patch)
        for _ in range(5):
            for message in _sent_without_workers(stage):
                assert stage.work(message) == "queued"
            stage.clock.advance(timedelta(minutes=2))
    waiting = stage.view(job_id)
    assert waiting.state == "queued"
    assert "weights are not installed" in (waiting.progress_message or "")
    assert "failed" not in stage.shard_states()


def _sent_without_workers(stage: Scene) -> list[tuple[str, tuple[str, ...]]]:
    from services.tick import hand_out

    stage.sql("DELETE FROM worker_processes")
    hand_out(stage.context)
    return [message for message in stage.queue.take() if message[0] == "scoring.score"]


def two_jobs(stage: Scene) -> tuple[uuid.UUID, uuid.UUID, list[int]]:
    """Submit a job, and a later one of all of its models but one; with the models of the first."""
    first, later = stage.submit(), stage.submit()
    [models] = [
        sorted(row)
        for (row,) in stage.sql("SELECT array_agg(model_version_id) FROM model_versions")
    ]
    with stage.context.transaction() as session:
        for job_id, some in ((first, models), (later, models[:-1])):
            scorings.add(
                session, job_id, task="thumbnails", purpose="inUse", model_version_ids=some,
                now=stage.clock(),
            )  # fmt: skip
    return first, later, models


def worked(stage: Scene, ways: int, job_id: uuid.UUID, patch: pytest.MonkeyPatch) -> None:
    """Have workers in turn do what is sent until a job has ended, within an hour."""
    own = [fitness._Own() for _ in range(ways)]
    until, turn = stage.clock() + timedelta(hours=1), 0
    while not stage.view(job_id).ended and stage.clock() < until:
        for message in stage.tick(ways):
            turn += 1
            patch.setenv(fitness.PROCESS, f"w{turn % ways}")
            patch.setattr(fitness, "_own", own[turn % ways])
            stage.work(message)
        stage.clock.advance(timedelta(seconds=30))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_job_that_no_machine_can_do_holds_up_no_other(
    stage: Scene, monkeypatch: pytest.MonkeyPatch, workers: int
):
    bad, good, models = two_jobs(stage)
    asked = without_weights(monkeypatch, of=models)
    worked(stage, workers, good, monkeypatch)
    ended = stage.view(good)
    assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
    assert stage.view(bad).state == "running"
    assert len(asked) <= workers, "each tries it once in five minutes"
    [waiting, *_] = waits_for(stage.context, bad)
    assert waiting.reason == "backboneWeightsMissing"


@pytest.mark.parametrize("workers", [1, 2])
def test_models_made_with_other_weights_than_any_machine_has_end_the_job_and_say_so(
    stage: Scene, monkeypatch: pytest.MonkeyPatch, workers: int
):
    bad, good, models = two_jobs(stage)
    without_weights(monkeypatch, of=models, reason="backboneWeightsOther")
    worked(stage, workers, bad, monkeypatch)
    ended = stage.view(bad)
    assert (ended.state, ended.error_reason) == ("failed", "backboneWeightsOther")
    worked(stage, workers, good, monkeypatch)
    assert stage.view(good).state == "succeeded"


@pytest.mark.parametrize("reason", ["backboneWeightsMissing", "diskFull"])
def test_a_job_whose_shard_failed_of_a_machine_under_an_earlier_release_ends(
    stage: Scene, reason: str
):
    job_id = begun(stage, workers=1)
    stage.sql("UPDATE shards SET state = 'cancelled', ready_at = NULL, lease_token = NULL")
    stage.sql(
        "UPDATE shards SET state = 'failed', error_kind = 'permanent', error_reason = :r,"
        " error_message = 'it is missing' WHERE number = 0",
        r=reason,
    )
    ended = stage.go_on(job_id)
    assert (ended.state, ended.error_reason) == ("failed", reason)


def test_a_full_disk_keeps_a_machine_from_everything(stage: Scene, monkeypatch: pytest.MonkeyPatch):
    _, good, models = two_jobs(stage)
    without_weights(monkeypatch, of=models, reason="diskFull")
    become("w0", monkeypatch)
    sent = [m for m in stage.tick() if stage.work(m) == "running"]
    assert len(sent) == 2
    for _ in range(3):
        for message in stage.tick():
            stage.work(message)
    assert stage.sql("SELECT unfit_reason, unfit_models FROM worker_processes") == [
        ("diskFull", None)
    ]
    assert stage.view(good).progress_done == 0
    assert stage.tick() == []


def test_a_worker_that_is_well_again_says_so_whichever_process_of_its_pool_found_it(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    begun(stage, workers=1)
    become("w0", monkeypatch)
    with monkeypatch.context() as patch:
        without_weights(patch)
        for message in stage.tick():
            stage.work(message)
    [found] = fleet.listed(stage.context)
    assert "cannot score with models" in (found.unfitness or "")
    become("w0", monkeypatch)
    stage.clock.advance(fitness.AGAIN)
    [message, *_] = [m for m in stage.tick() if m[0] == "scoring.score_shard"]
    assert stage.work(message) == "done"
    lacking = "SELECT unfit_reason, unfit_message, unfit_until, unfit_models FROM worker_processes"
    assert stage.sql(lacking) == [(None,) * 4]


def test_what_a_machine_lacked_is_not_told_once_its_time_is_past(stage: Scene):
    stage.alive()
    stage.sql(
        "UPDATE worker_processes SET unfit_reason = 'diskFull', unfit_message = 'no room',"
        " unfit_until = clock_timestamp() - interval '1 second'"
    )
    [found] = fleet.listed(stage.context)
    assert (found.is_fit, found.unfitness) == (True, None)


def test_operators_hear_of_a_machine_that_lacks_something_once_a_day(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    settings = stage.context.settings.model_copy(update={"notify_command": "true"})
    begun(stage, workers=1)
    become("w0", monkeypatch)
    without_weights(monkeypatch)
    for message in stage.tick():
        stage.work(message)
    with closing(dataclasses.replace(stage.context, settings=settings)) as context:
        for _ in range(2):
            notify.note_events(context)
    [(event, payload)] = stage.sql("SELECT event, payload FROM notifications")
    assert (event, payload["reason"]) == ("worker.unfit", "backboneWeightsMissing")
    assert "weights are not installed" in payload["message"]


def test_who_holds_a_job_costs_no_lease_and_holds_up_no_hand_out(stage: Scene):
    cancelled = begun(stage, workers=1)
    [mine, theirs] = stage.tick()
    with stage.context.transaction() as session:
        until = stage.clock() + stage.context.lease
        shard = shards.rows.begin(session, uuid.UUID(mine[1][0]), until=until, now=stage.clock())
    assert shard is not None
    handle = shards.ShardHandle(stage.context, shard)
    hung = stage.context.engine.connect()
    try:
        held = {"j": cancelled, "t": theirs[1][0]}
        hung.execute(text("SELECT FROM jobs WHERE job_id = :j FOR UPDATE"), held)
        hung.execute(text("SELECT FROM scorings WHERE job_id = :j FOR UPDATE"), held)
        hung.execute(text("SELECT FROM shards WHERE lease_token = :t FOR UPDATE"), held)
        stage.clock.advance(timedelta(seconds=30))
        assert handle._extend()
        leased = "SELECT ready_at FROM shards WHERE shard_id = :s"
        assert stage.sql(leased, s=shard.shard_id) == [(stage.clock() + stage.context.lease,)]
    finally:
        hung.close()
    jobs.cancel(stage.context, cancelled)
    stage.clock.advance(stage.context.lease * 2)
    hung = stage.context.engine.connect()
    try:
        hung.execute(text("SELECT FROM shards WHERE lease_token = :t FOR UPDATE"), held)
        another = stage.submit()
        [message] = [m for m in stage.tick() if m[0] == "scoring.score"]
        assert message[1][0] == str(another)
        ended = "SELECT count(*) FROM shards WHERE state = 'leased' AND ready_at <= :now"
        assert stage.sql(ended, now=stage.clock()) == [(1,)], "what is held comes later"
    finally:
        hung.close()


def test_progress_makes_up_for_what_failed_before(stage: Scene, monkeypatch: pytest.MonkeyPatch):
    read = ObjectStore.get_apart

    def some(self: ObjectStore, names: list[str]) -> dict[str, object]:
        error = TransientError("the store failed", reason="storeFailed")
        return {n: error if n < "8" else c for n, c in read(self, names).items()}

    begun(stage, workers=1)
    stage.sql("UPDATE shards SET failures = :n", n=shards.MOST_FAILURES - 1)
    [message, _] = stage.tick()
    monkeypatch.setattr("services.learning.stages.TRIES", 1)
    monkeypatch.setattr(ObjectStore, "get_apart", some)
    assert stage.work(message) == "planned"
    [(n_done, failures, aside)] = stage.sql(
        "SELECT n_done, failures, set_aside FROM shards WHERE error_reason IS NOT NULL"
    )
    assert 0 < n_done < ROWS
    assert (failures, aside) == (1, {})


def test_a_small_job_does_not_wait_for_the_whole_of_a_large_one(stage: Scene):
    context = stage.context
    planned = {}
    with context.transaction() as session:
        for purpose, n_shards in (("newest", 5), ("inUse", 2)):
            job_id = stage.submit()
            scoring = scorings.add(
                session, job_id, task="thumbnails", purpose=purpose, model_version_ids=[1],
                now=stage.clock(),
            )  # fmt: skip
            planned[scoring.scoring_id] = purpose
            for number in range(n_shards):
                stage.clock.advance(timedelta(seconds=1))
                shards.rows.add(
                    session, scoring.scoring_id, [f"{purpose}{number}"], number=number,
                    is_own=False, now=stage.clock(),
                )  # fmt: skip
    with context.transaction() as session:
        shard_claims.claim(session, room=4, now=stage.clock(), lease=context.lease)
    claimed = stage.sql("SELECT covers FROM shards WHERE state = 'leased' ORDER BY number, 1")
    assert [covers for ([covers],) in claimed] == ["inUse0", "newest0", "inUse1", "newest1"]


def test_the_last_of_the_work_is_cut_so_that_all_workers_end_at_the_same_time(stage: Scene):
    context, videos = stage.context, [f"v{number:010}" for number in range(2_048)]
    job_id = stage.submit()
    with context.transaction() as session:
        scoring = scorings.add(
            session, job_id, task="thumbnails", purpose="inUse", model_version_ids=[1],
            now=stage.clock(),
        )  # fmt: skip
        scoring_id = scoring.scoring_id
        shards.rows.add(session, scoring_id, videos, number=0, is_own=False, now=stage.clock())

    def claimed(workers: int) -> list[int]:
        with context.transaction() as session:
            shard_claims.claim(
                session, room=4, now=stage.clock(), lease=context.lease, workers=workers
            )
        rows = "SELECT n_rows FROM shards WHERE state = 'leased'"
        return [n_rows for (n_rows,) in stage.sql(rows)]

    assert claimed(1) == [2_048]
    stage.sql("UPDATE shards SET state = 'planned', lease_token = NULL, ready_at = :n", n=NOW)
    assert claimed(2) == [2_048], "more may come: it is being planned"
    stage.sql("UPDATE shards SET state = 'planned', lease_token = NULL, ready_at = :n", n=NOW)
    stage.sql("UPDATE scorings SET planned_at = :n", n=NOW)
    assert claimed(2) == [512] * 4
    covers = stage.sql("SELECT covers FROM shards WHERE state = 'leased' ORDER BY shard_id")
    assert [video for (part,) in covers for video in part] == videos
