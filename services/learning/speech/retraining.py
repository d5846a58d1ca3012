"""Retraining of speech: train, score and compare as one job that goes on where it stopped."""

from typing import Any

from services.context import Context
from services.jobs import JobHandle, JobWork
from services.learning.retraining import follow
from services.learning.speech import comparison, scoring, training

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
