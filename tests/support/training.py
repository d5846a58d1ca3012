"""Training jobs as a worker does them, in this process or in one that can be killed."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.queries.work import jobs as rows
from services.context import Context
from services.emulator.synthetic import synthetic_catalog
from services.learning.thumbnails import training
from services.work import jobs
from tests.support.embedded import Python
from tests.support.report import store_world

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

WORKER = """
import json, os, resource, sys, uuid
from services import log
from services.context import Context
from services.learning import checkpoints
from services.learning.thumbnails import training
from services.settings import Settings
from services.work import jobs
log.configure(level="INFO", log_format="console")
settings, job_id, token, every_s, largest_file = sys.argv[1:]
if largest_file != "None":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_file),) * 2)
checkpoints.EVERY_S = float(every_s)
context = Context(Settings(**json.loads(settings)))
print(json.dumps(os.getpid()), flush=True)
state = jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), training.train)
print(json.dumps(state), flush=True)
"""
"""What a worker does with a training job it is sent."""


def collected(context: Context, *, channels: int = 32, videos: int = 128, seed: int = 4) -> None:
    """Fill database and store as a crawl would; some channels hide their subscribers."""
    store_world(
        context,
        synthetic_catalog(seed=seed, epoch=NOW, channels=channels, videos=videos, hidden_share=0.1),
    )


def claim(context: Context, job_id: uuid.UUID) -> uuid.UUID | None:
    """Lease the job as a dispatcher would, if it is ready; return the token to send."""
    with context.transaction() as session:
        found = rows.claim(
            session, kinds=["train", "score"], limit=9, now=context.clock(), lease=context.lease
        )
        tokens = {job.job_id: job.lease_token for job in found}
    return tokens.get(job_id)


def submit_training(context: Context, **params: Any) -> uuid.UUID:
    """Submit a training without image features, which take much longer."""
    return jobs.submit(context, "train", {"backbone": False, **params})


def train(context: Context, **params: Any) -> jobs.JobView:
    """Do a training job here and return how it ended."""
    return go_on(context, submit_training(context, **params))


def go_on(context: Context, job_id: uuid.UUID) -> jobs.JobView:
    """Take a job that is ready and do it here."""
    token = claim(context, job_id)
    assert token is not None
    jobs.run(context, job_id, token, training.train)
    return jobs.view(context, job_id)


@contextmanager
def another_worker(
    context: Context,
    job_id: uuid.UUID,
    token: uuid.UUID | None,
    *,
    every_s: float = 0,
    largest_file: int | None = None,
) -> Iterator[Python]:
    """Do a job in a process of its own, which says its pid and, if it lives, how the job ended."""
    settings = context.settings.model_dump_json(exclude_defaults=True)
    arguments = (settings, *map(str, (job_id, token, every_s, largest_file)))
    with Python(WORKER, *arguments) as process:
        yield process


def models(context: Context, job_id: uuid.UUID | str) -> dict[str, dict[str, str]]:
    """The files of the models that a job recorded, by rung: name to SHA-256."""
    with context.engine.connect() as connection:
        found = connection.execute(
            text("SELECT rung, files FROM model_versions WHERE job_id = :j"), {"j": job_id}
        )
        return {str(rung): dict(files) for rung, files in found}


def nothing_half_done(context: Context) -> None:
    """No version of a model, and no files left in the home's cache that a training needs."""
    with context.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM model_versions")).scalar() == 0
    assert left_in_cache(context.settings.home) == []


def left_in_cache(home: Path) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in (home / "cache").glob("*/*"))
