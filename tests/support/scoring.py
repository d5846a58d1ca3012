"""A scored world in a database to copy, and workers of the scoring queue without processes."""

import dataclasses
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from db.queries.learning import unscored
from db.queries.work import fleet as fleet_rows
from services.context import Context
from services.embedded import Endpoints
from services.emulator.synthetic import synthetic_catalog
from services.learning import pipeline, tasks
from services.learning.thumbnails import scoring
from services.learning.thumbnails import shards as thumbnail_shards
from services.queue import SCORING
from services.tick import hand_out
from services.work import jobs, shards
from tests.support.crawl import TurnableClock
from tests.support.databases import context_on, own_database
from tests.support.embedded import Python
from tests.support.operations import RememberingQueue
from tests.support.report import learn, store_world

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEMPLATE = "test_scoring_world"
CHANNELS, VIDEOS, LATER = 32, 128, 64
"""Of the videos some are learned from; those of the second world came afterwards."""


JOBS = {"scoring.score": tasks.score, "learning.retrain": pipeline.retrain}


@dataclass(frozen=True)
class World:
    """A database where models were trained and have scored nothing, to be copied."""

    endpoints: Endpoints
    url: str
    folder: Path


@contextmanager
def world(endpoints: Endpoints, folder: Path) -> Iterator[World]:
    """Learn from some channels, and collect others whose videos nothing has scored."""
    with own_database(endpoints.database_url, TEMPLATE) as url:
        made = context_on(url, endpoints, folder, clock=lambda: NOW)
        store_world(made, synthetic_catalog(seed=4, epoch=NOW, channels=CHANNELS, videos=VIDEOS))
        learn(made)
        store_world(made, synthetic_catalog(seed=5, epoch=NOW, channels=4, videos=LATER))
        with made.engine.begin() as connection:
            for table in ("scores", "current_scores", "jobs", "schedules"):
                connection.execute(text(f"DELETE FROM {table}"))
        made.close()
        yield World(endpoints, url, folder)


@dataclass
class Scene:
    """A copy of the world with dispatchers and workers that work when they are told to."""

    context: Context
    clock: TurnableClock
    queue: RememberingQueue
    done: list[str] = field(default_factory=list)

    def submit(self, **params: Any) -> uuid.UUID:
        return jobs.submit(self.context, "score", params)

    def sql(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        with self.context.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def alive(self, workers: int = 1) -> None:
        """Have workers of the queue be heard of."""
        with self.context.transaction() as session:
            for number in range(workers):
                fleet_rows.beat(
                    session, f"w{number}", role=SCORING.name, host="h", pid=number, version="1"
                )

    def tick(self, workers: int = 1) -> list[tuple[str, tuple[str, ...]]]:
        """Dispatch once; what was sent."""
        self.alive(workers)
        hand_out(self.context)
        return self.queue.take()

    def work(self, message: tuple[str, tuple[str, ...]], context: Context | None = None) -> str:
        """Do what a worker does with a message."""
        name, args = message
        on = context or self.context
        if name in JOBS:
            return jobs.run(on, uuid.UUID(args[0]), uuid.UUID(args[1]), JOBS[name])
        assert name == "scoring.score_shard"
        return shards.do(on, uuid.UUID(args[0]), tasks.score_shard)

    def begin(self, job_id: uuid.UUID) -> None:
        """Have a job planned."""
        while self.view(job_id).state == "queued":
            for message in self.tick():
                self.work(message)

    def go_on(self, job_id: uuid.UUID, *, workers: int = 1) -> jobs.JobView:
        """Dispatch and work until a job has ended; time passes where nothing is ready."""
        for _ in range(400):
            sent = self.tick(workers)
            for message in sent:
                self.done.append(self.work(message))
            job = self.view(job_id)
            if job.ended:
                return job
            if not sent:
                self.clock.advance(timedelta(seconds=10))
        raise AssertionError(f"it never ended: {self.sql('SELECT state, losses FROM shards')}")

    def score(self, **params: Any) -> jobs.JobView:
        return self.go_on(self.submit(**params))

    def view(self, job_id: uuid.UUID) -> jobs.JobView:
        return jobs.view(self.context, job_id)

    def scores(self) -> list[tuple[Any, ...]]:
        """Every score there is, but for when it was made."""
        return self.sql(
            "SELECT video_id, thumbnail_sha256, model_version_id, probability_over,"
            " log10_views_per_day FROM scores ORDER BY 1, 2, 3"
        )

    def shard_states(self) -> dict[str, int]:
        return dict(self.sql("SELECT state, count(*) FROM shards GROUP BY 1"))  # type: ignore[arg-type]

    def damage(self, video_id: str, content: bytes | None) -> None:
        """Put other bytes in the place of a video's picture, or none."""
        [[sha256]] = self.sql(
            "SELECT thumbnail_sha256 FROM video_thumbnails WHERE video_id = :v", v=video_id
        )
        url = str(self.context.settings.storage_url)
        path = Path(url.removeprefix("file://")) / sha256[:2] / sha256
        assert path.exists()
        path.unlink() if content is None else path.write_bytes(content)


@contextmanager
def scene(world: World, folder: Path, name: str, **settings: Any) -> Iterator[Scene]:
    """Copy the world; its store too, which a test may damage."""
    with own_database(world.url, name) as url:
        shutil.copytree(world.folder / "objects", folder / "objects")
        clock, queue = TurnableClock(NOW), RememberingQueue()
        made = context_on(url, world.endpoints, folder, clock=clock)
        own = dataclasses.replace(made, settings=made.settings.model_copy(update=settings))
        own.__dict__["queue"] = queue
        with closing(own):
            yield Scene(own, clock, queue)


def same(found: list[tuple[object, ...]], expected: list[tuple[object, ...]]) -> None:
    """Row for row; the last digit of a figure depends on how many are computed together."""
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    np.testing.assert_allclose(
        np.array([row[3:] for row in found], dtype=float),
        np.array([row[3:] for row in expected], dtype=float),
        rtol=1e-5,
        atol=1e-6,
    )


def ids(scene: Scene, n: int) -> Sequence[str]:
    """Ids of some videos."""
    found = scene.sql("SELECT video_id FROM videos ORDER BY video_id LIMIT :n", n=n)
    return [video_id for (video_id,) in found]


WORKER = """
import json, os, sys, time, uuid
from datetime import datetime
from db.queries.learning import unscored
from services import log
from services.context import Context
from services.errors import TubeGraderError
from services.learning import tasks
from services.learning.thumbnails import scoring, shards as thumbnail_shards
from services.queue import SCORING
from services.settings import Settings
from services.storage import ObjectStore
from services.tick import hand_out
from services.work import jobs, shards
from services.work.fleet import Member
log.configure(level="ERROR", log_format="console")
settings, rows, chunk, read_s, asked_at = sys.argv[1:]
scoring.SHARD_ROWS, thumbnail_shards.CHUNK = int(rows), int(chunk)
read = ObjectStore.get_apart
def slow(self, names):
    time.sleep(float(read_s))
    return read(self, names)
ObjectStore.get_apart = slow
ask = unscored.to_score
# Ages are counted up to one moment, whenever a worker comes to it.
now = datetime.fromisoformat(asked_at)
unscored.to_score = lambda session, ids, **more: ask(session, ids, **{**more, "now": now})
context = Context.of_process(Settings(**json.loads(settings)))

class Own:
    # Whoever dispatches does what it sends.
    def __init__(self): self.sent = []
    def lengths(self): return {}
    def send(self, task, *args): self.sent.append((task.name, args))

queue = context.__dict__["queue"] = Own()
Member(context, SCORING.name).join()
print(json.dumps(os.getpid()), flush=True)
while True:
    try:
        hand_out(context)
        for name, args in queue.sent:
            if name == "scoring.score":
                jobs.run(context, uuid.UUID(args[0]), uuid.UUID(args[1]), tasks.score)
            elif name == "scoring.score_shard":
                shards.do(context, uuid.UUID(args[0]), tasks.score_shard)
    except TubeGraderError as error:
        print(error, file=sys.stderr, flush=True)
    queue.sent.clear()
    time.sleep(0.1)
"""
"""A worker that is its own dispatcher, in a process that can be killed at any moment."""


def worker(context: Context, *, rows: int = 16, chunk: int = 8, read_s: float = 0.05) -> Python:
    """Start one; it says its pid."""
    settings = context.settings.model_dump_json(exclude_defaults=True)
    return Python(WORKER, settings, str(rows), str(chunk), str(read_s), NOW.isoformat())


def cut_small(monkeypatch: pytest.MonkeyPatch, *, rows: int, chunk: int) -> None:
    """Have shards of which this little world has many."""
    monkeypatch.setattr(scoring, "SHARD_ROWS", rows)
    monkeypatch.setattr(thumbnail_shards, "CHUNK", chunk)
    # Ages are counted up to one moment, however often the clock is turned.
    ask = unscored.to_score
    monkeypatch.setattr(
        unscored, "to_score", lambda session, ids, **more: ask(session, ids, **{**more, "now": NOW})
    )


def sent_without_workers(made: Scene) -> list[tuple[str, tuple[str, ...]]]:
    from services.tick import hand_out

    hand_out(made.context)
    return made.queue.take()
