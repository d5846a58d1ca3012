"""Jobs that score wait for each other's shards and for a store, and for nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.embedded import Endpoints
from services.errors import InfrastructureError, TransientError
from services.learning import sharding
from services.storage import ObjectStore
from services.work import jobs
from tests.support.scoring import LATER, VIDEOS, Scene, World, cut_small, ids, scene, world

ALL = VIDEOS + LATER


@pytest.fixture(scope="module")
def learned(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(endpoints, tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def stage(learned: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    cut_small(monkeypatch, rows=16, chunk=8)
    with scene(learned, tmp_path, "test_scoring_waits") as made:
        yield made


def test_who_began_later_may_plan_first(stage: Scene, monkeypatch: pytest.MonkeyPatch):
    first, second = stage.submit(), stage.submit()
    plan = sharding._plan

    def interrupted(context: object, job: jobs.JobHandle, *rest: object) -> None:
        if job.job_id == first:
            raise InfrastructureError("its worker is stopped", reason="stopped")
        plan(context, job, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sharding, "_plan", interrupted)
    for message in stage.tick():
        stage.work(message)
    stage.begin(second)
    monkeypatch.setattr(sharding, "_plan", plan)
    assert stage.view(first).state == "queued"
    ended = stage.go_on(first)
    one, two = ended.result or {}, stage.go_on(second).result or {}
    assert one["scored"] + two["scored"] == ALL
    assert stage.sql("SELECT sum(n_rows) FROM shards") == [(ALL,)]


def test_a_paused_job_stops_no_other(stage: Scene):
    paused = stage.submit()
    stage.begin(paused)
    assert jobs.pause(stage.context, paused)
    ended = stage.score()
    assert (ended.result or {})["scored"] == ALL
    assert jobs.resume(stage.context, paused)
    assert (stage.go_on(paused).result or {})["scored"] == 0


def test_a_picture_that_fails_in_passing_for_ever_is_set_aside_alone(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    [bad] = ids(stage, 1)
    [[sha256]] = stage.sql(
        "SELECT thumbnail_sha256 FROM video_thumbnails WHERE video_id = :v", v=bad
    )
    read = ObjectStore.get_apart

    def failing(self: ObjectStore, names: list[str]) -> dict[str, object]:
        error = TransientError("input/output error", reason="storeFailed")
        return {n: error if n == sha256 else c for n, c in read(self, names).items()}

    monkeypatch.setattr(ObjectStore, "get_apart", failing)
    monkeypatch.setattr("services.learning.stages.TRIES", 1)
    ended = stage.score()
    assert ended.state == "succeeded", ended.error_message
    result = ended.result or {}
    assert (result["scored"], result["set_aside"]) == (ALL - 1, {"storeFailed": 1})
    assert result["set_aside_ids"] == {"storeFailed": [bad]}


def test_a_store_that_is_away_is_waited_for_however_long(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
):
    away = TransientError("no answer", reason="storeFailed")
    job_id = stage.submit()
    stage.begin(job_id)

    def nothing(_store: ObjectStore, names: list[str]) -> dict[str, object]:
        return dict.fromkeys(names, away)

    def no_answer(_store: ObjectStore) -> None:
        raise away

    monkeypatch.setattr("services.learning.stages.TRIES", 1)
    with monkeypatch.context() as outage:
        outage.setattr(ObjectStore, "get_apart", nothing)
        outage.setattr(ObjectStore, "check", no_answer)
        for _ in range(30):
            for message in stage.tick():
                assert stage.work(message) in ("planned", "running", "taken")
            stage.clock.advance(stage.context.lease)
    ended = stage.go_on(job_id)
    assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
