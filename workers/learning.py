"""Tasks of the learning queue. Torch is imported when the first of them runs, not before."""

import importlib
import uuid

from services import jobs
from workers.app import context
from workers.base import task


def _run(job_id: str, token: str, module: str) -> str:
    work = importlib.import_module(f"services.learning.{module}").work
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), work)


@task("learning.train")
def train(job_id: str, token: str) -> str:
    """Freeze a dataset and train the ladder on it."""
    return _run(job_id, token, "training")


@task("learning.score")
def score(job_id: str, token: str) -> str:
    """Score every video with the newest models."""
    return _run(job_id, token, "scoring")


@task("learning.compare")
def compare(job_id: str, token: str) -> str:
    """Compare the rungs on the scores in the database."""
    return _run(job_id, token, "comparison")


@task("learning.retrain")
def retrain(job_id: str, token: str) -> str:
    """Train, score and compare, one after the other."""
    return _run(job_id, token, "retraining")
