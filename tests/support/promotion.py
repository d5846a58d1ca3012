"""Nights of retraining on channels that were written without a crawl, with quick networks."""

import dataclasses
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import text

from db.partitions import ensure_partitions
from db.queries.catalog import channels
from db.queries.learning import model_versions
from db.queries.work import jobs
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.models.ladder import LadderConfig, dataset_images, train_ladder
from services.context import Context
from services.embedded import Endpoints
from services.learning import pipeline
from services.learning.artifacts import put_folder
from services.learning.thumbnails import datasets, selection
from services.work import jobs as services_jobs
from services.work.jobs import JobHandle
from tests.support.databases import context_on, own_database
from tests.support.grading import NOW, encoded, picture
from tests.support.stored import store_videos

QUICK = LadderConfig(folds=4, cnn=CnnConfig(widths=(4, 8), epochs=1, batch_size=64))


@dataclass
class World:
    """A context with a clock one can turn, and nights on it."""

    context: Context
    now: datetime = NOW

    def tomorrow(self) -> None:
        self.now += timedelta(days=1)

    def night(self, *, seed: int, broken: float = 0.0, threshold: float = 100.0) -> Any:
        """Do the next night's retraining, its training in seconds."""
        self.tomorrow()
        job_id = self.begin(seed=seed, broken=broken, threshold=threshold)
        return self.go_on(job_id)

    def begin(self, *, seed: int, broken: float = 0.0, threshold: float = 100.0) -> uuid.UUID:
        """Submit a retraining whose first step is done."""
        job_id = services_jobs.submit(self.context, "retrain", {"task": "thumbnails"})
        done = train(self.context, seed=seed, broken=broken, threshold=threshold, job_id=job_id)
        with self.context.transaction() as session:
            job = jobs.get(session, job_id)
            assert job is not None
            job.steps = {"train": done}
        return job_id

    def go_on(self, job_id: uuid.UUID) -> services_jobs.JobView:
        """Do what is left of a job, as a worker would."""
        services_jobs.run(self.context, job_id, self.taken(job_id), pipeline.retrain)
        return services_jobs.view(self.context, job_id)

    def taken(self, job_id: uuid.UUID) -> uuid.UUID:
        """Claim a job as the dispatcher does; return the token it is sent with."""
        [(token,)] = self.sql(
            "UPDATE jobs SET state = 'running', lease_token = gen_random_uuid(), ready_at = now(), "
            "waiting_until = NULL WHERE job_id = :j RETURNING lease_token",
            j=job_id,
        )
        assert isinstance(token, uuid.UUID)
        return token

    def sql(self, statement: str, **values: object) -> Sequence[tuple[Any, ...]]:
        with self.context.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def champion(self) -> str:
        """Return the champion's name."""
        [(rung, version)] = self.sql(
            "SELECT rung, version FROM champion_ladders WHERE is_champion AND task = 'thumbnails'"
        )
        return f"{rung}@{version}"

    def shown(self) -> set[tuple[str, int]]:
        """Return the models whose scores users read, by rung and version."""
        return {
            (rung, version)
            for rung, version in self.sql("SELECT DISTINCT rung, model_version FROM scored_videos")
        }


@contextmanager
def world(
    endpoints: Endpoints, folder: Path, name: str, *, like: World | None = None
) -> Iterator[World]:
    """A database and a store of one's own: empty, or like those of another world."""
    template = None
    if like is not None:
        like.context.engine.dispose()
        template = like.context.engine.url.database
        shutil.copytree(like.context.settings.home.parent / "objects", folder / "objects")
    with own_database(endpoints.database_url, name, template=template) as url:
        context = context_on(url, endpoints, folder)
        made = World(context, now=NOW if like is None else like.now)
        made.context = dataclasses.replace(context, clock=lambda: made.now)
        with closing(made.context):
            with made.context.transaction() as session:
                ensure_partitions(session.connection(), start=NOW)
            yield made


begun, go = threading.Event(), threading.Event()


def waiting(_context: Context, job: JobHandle) -> dict[str, Any]:
    """Be a step that lasts until it is told to end, or its job is cancelled."""
    begun.set()
    print("waiting", flush=True)
    while not go.wait(0.05):
        job.check()
    return {}


def channel_id(number: int) -> str:
    return f"UC{number:022d}"


def store_channels(context: Context, numbers: range, *, each: int = 3, size: float = 1.2) -> None:
    """Write channels whose views follow their subscribers, over ``size`` log10 units each way."""
    generator = np.random.default_rng(numbers.start)
    ids = [channel_id(number) for number in numbers]
    logs = 4 + generator.uniform(-size, size, len(ids))
    now = context.clock()
    drawn = []
    for number, log_subscribers in zip(numbers, logs, strict=True):
        for video in range(each):
            days = float(generator.uniform(20, 300))
            log_views = 0.9 * log_subscribers - 1.6 + generator.normal(0, 0.3)
            drawn.append(
                {
                    "video_id": f"v{number:05d}_{video:04d}",
                    "channel_id": channel_id(number),
                    "published_at": now - timedelta(days=days),
                    "views": round(days * 10**log_views),
                    "picture": encoded(picture(light=0.0, seed=1000 * number + video)),
                }
            )
    with context.transaction() as session:
        channels.add(session, ids, now=now)
        for one in ids:
            channels.refresh(session, {"channel_id": one, "title": one}, now=now)
        channels.append_snapshots(
            session,
            [
                {
                    "channel_id": one,
                    "slot": now,
                    "captured_at": now,
                    "subscriber_count": int(10**log),
                }
                for one, log in zip(ids, logs, strict=True)
            ],
        )
        store_videos(context, session, drawn, now=now)


def train(
    context: Context, *, seed: int, broken: float, threshold: float, job_id: uuid.UUID
) -> dict[str, Any]:
    """Freeze and train as the job does; return what the step of a retraining returns.

    Args:
        context: Where.
        seed: Of the training: folds too.
        broken: The share of the videos whose labels are dealt out anew before training.
        threshold: Views per day.
        job_id: The retraining's.
    """
    frozen = datasets.freeze(context, selection.Request(threshold=threshold))
    config = replace(QUICK, seed=seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = datasets.fetch(context, frozen.dataset_id, folder / "dataset")
        learned = _spoiled(dataset, broken)
        ladder = train_ladder(learned, dataset_images(dataset), config)
        files = {
            rung: put_folder(context.store, artefact)
            for rung, artefact in ladder.save(folder / "models").items()
        }
    now = context.clock()
    with context.transaction() as session:
        versions = {
            rung: model_versions.add(
                session,
                task="thumbnails",
                rung=rung,
                dataset_id=frozen.dataset_id,
                job_id=job_id,
                trained_at=now,
                code_version="0.1.0",
                seed=seed,
                config=asdict(config) | {"broken": broken},
                files=stored,
            ).version
            for rung, stored in files.items()
        }
    return {
        "dataset_id": frozen.dataset_id,
        "dataset_is_new": frozen.is_new,
        "excluded": frozen.excluded,
        "versions": versions,
        "trained": True,
    }


def _spoiled(dataset: Dataset, share: float) -> Dataset:
    """Deal out anew the labels of a share of the rows."""
    generator = np.random.default_rng(0)
    order = np.arange(len(dataset))
    rows = generator.permutation(order)[: round(share * len(order))]
    order[rows] = generator.permutation(rows)
    table = dataset.table
    for column in ("views_per_day", "is_over"):
        index = table.schema.get_field_index(column)
        dealt = pa.chunked_array([table[column].combine_chunks().take(pa.array(order))])
        table = table.set_column(index, table.schema.field(index), dealt)
    return Dataset(dataset.description, table, dataset.directory)
