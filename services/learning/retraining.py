"""Retraining: train, score and compare as one job, whose steps follow each other.

The result of each step is kept with the job as it ends. A job whose worker died, or that is
retried after a failure, goes on with the step it was at.
"""

from collections.abc import Sequence
from typing import Any

from services.context import Context
from services.jobs import JobHandle, JobWork
from services.learning import comparison, scoring, training

STEPS: tuple[tuple[str, JobWork], ...] = (
    ("train", training.work),
    ("score", scoring.work),
    ("compare", comparison.work),
)


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a retraining job; its params are those of training.

    Returns:
        The result of each step, by its name.

    Raises:
        PermanentError: A step cannot be done; the steps before it stay done.
    """
    return follow(context, job, STEPS)


def follow(
    context: Context, job: JobHandle, steps: Sequence[tuple[str, JobWork]]
) -> dict[str, Any]:
    """Do the steps of a job that are not done yet, one after the other; return all results."""
    for name, step in steps:
        if name not in job.steps:
            job.end_step(name, step(context, job))
    return dict(job.steps)
