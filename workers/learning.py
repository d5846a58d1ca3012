"""Tasks of the learning queue. Torch is imported when the first of them runs, not before."""

import uuid

from services.learning.tasks import work_of
from services.work import jobs
from workers.app import context
from workers.base import task


def _run(job_id: str, token: str, step: str) -> str:
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), work_of(step))


@task("learning.train")
def train(job_id: str, token: str) -> str:
    """Freeze a dataset and train every rung on it."""
    return _run(job_id, token, "training")


@task("learning.score")
def score(job_id: str, token: str) -> str:
    """Score the newest models' own rows, and everything with the models in use."""
    return _run(job_id, token, "scoring")


@task("learning.compare")
def compare(job_id: str, token: str) -> str:
    """Compare the rungs on the scores in the database."""
    return _run(job_id, token, "comparison")


@task("learning.retrain")
def retrain(job_id: str, token: str) -> str:
    """Do a night: train, score, compare, contest and what follows."""
    return _run(job_id, token, "retraining")
