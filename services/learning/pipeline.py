"""Retraining: a night's work as one job, whose steps follow each other; one at a time of a task.

The result of each step is kept with the job as it ends. A job whose worker died, or that is
retried after a failure, goes on with the step it was at.
"""

from collections.abc import Callable, Sequence
from typing import Any

from db.locks import HeldLock, LockLostError, advisory_lock
from db.models.learning import SPEECH, THUMBNAILS
from services.context import Context
from services.errors import BusyError, TransientError
from services.learning import tracking
from services.learning.tasks import named, task_of
from services.work.jobs import JobHandle

STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    THUMBNAILS: (
        ("train", "services.learning.thumbnails.training:work"),
        ("score", "services.learning.thumbnails.scoring:own_rows"),
        ("compare", "services.learning.thumbnails.comparison:work"),
        ("contest", "services.learning.thumbnails.promotion:work"),
        ("scoreRest", "services.learning.thumbnails.scoring:the_rest"),
        ("drift", "services.learning.drift.measuring:work"),
    ),
    SPEECH: (
        ("train", "services.learning.speech.training:work"),
        ("score", "services.learning.speech.scoring:newest"),
        ("compare", "services.learning.speech.comparison:work"),
        ("contest", "services.learning.speech.promotion:work"),
        ("scoreRest", "services.learning.speech.scoring:the_rest"),
    ),
}
"""The steps of each task: a name for the job's row, and the function that does it."""


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a retraining job; its params are those of training.

    Returns:
        The result of each step, by its name.

    Raises:
        BusyError: Another retraining of the task is under way; this one is tried again later.
        PermanentError: A step cannot be done; the steps before it stay done, and the champion
            stays the champion.
    """
    task = task_of(job.params)
    with advisory_lock(context.engine, f"retraining:{task}") as lock:
        if lock is None:
            raise BusyError(
                f"another retraining of {task} is under way",
                reason="retrainingUnderWay",
                hint="`tubegrader jobs list --state running --kind retrain` shows it",
            )
        follow(context, job, STEPS[task], check=lambda: _check(lock))
        if context.settings.mlflow_uri is not None and "mlflow" not in job.steps:
            job.end_step("mlflow", tracking.log_night(context, job))
        return dict(job.steps)


def follow(
    context: Context,
    job: JobHandle,
    steps: Sequence[tuple[str, str]],
    *,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Do the steps of a job that are not done yet, one after the other; return all results.

    Args:
        context: What to work with.
        job: The job.
        steps: Name and place of each, as in :data:`STEPS`.
        check: Called before each step; raises if it may not begin.
    """
    for name, place in steps:
        if name in job.steps:
            continue
        check()
        job.check()
        job.end_step(name, named(place)(context, job))
    return dict(job.steps)


def _check(lock: HeldLock) -> None:
    try:
        lock.check()
    except LockLostError as error:
        raise TransientError(
            f"the database took the retraining's lock away: {error}", reason="lockLost"
        ) from error
