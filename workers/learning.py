"""Tasks of the learning queue. Torch is imported when the first of them runs, not before."""

import uuid

from services.learning import pipeline, tasks
from services.work import jobs
from workers.app import context
from workers.base import task


def _run(job_id: str, token: str, work: jobs.JobWork) -> str:
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), work)


@task("learning.train")
def train(job_id: str, token: str) -> str:
    """Freeze a dataset and train every model on it."""
    return _run(job_id, token, tasks.train)


@task("learning.compare")
def compare(job_id: str, token: str) -> str:
    """Compare the newest models on the scores in the database."""
    return _run(job_id, token, tasks.compare)


@task("learning.retrain")
def retrain(job_id: str, token: str) -> str:
    """Do a night: train, score, compare, promote and what follows."""
    return _run(job_id, token, pipeline.retrain)
