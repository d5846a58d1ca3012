"""Retraining: a night's work as one job, whose steps follow each other; one at a time of a task.

The result of each step is kept with the job as it ends. A job whose worker died, or that is
retried after a failure, goes on with the step it was at.
"""

from typing import Any

from db.locks import HeldLock, LockLostError, advisory_lock
from db.queries.work import scorings
from services.context import Context
from services.errors import BusyError, TransientError
from services.learning import tracking
from services.learning.tasks import task_of
from services.work.jobs import JobHandle


def retrain(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a retraining job; its params are those of training.

    Returns:
        The result of each step, by its name.

    Raises:
        AwaitsShardsError: Workers score for a step; the job goes on with it when they are done.
        BusyError: Another retraining of the task is under way; this one is tried again later.
        PermanentError: A step cannot be done; the steps before it stay done, and the champion
            stays the champion.
    """
    task = task_of(job.params)
    with advisory_lock(context.engine, f"retraining:{task.name}") as lock:
        if lock is None:
            raise _under_way(task.name)
        _alone(context, job, task.name)
        for name, step in task.night().items():
            if name not in job.steps:
                _check(lock)
                job.check()
                job.end_step(name, step(context, job))
        if context.settings.mlflow_uri is not None and "mlflow" not in job.steps:
            job.end_step("mlflow", tracking.log_night(context, job))
        return dict(job.steps)


def _alone(context: Context, job: JobHandle, task: str) -> None:
    """See that no other night of a task waits for its shards: meanwhile it holds no lock."""
    with context.transaction() as session:
        if not scorings.another_waits(session, job.job_id, kind="retrain", task=task):
            return
    raise _under_way(task)


def _under_way(task: str) -> BusyError:
    return BusyError(
        f"another retraining of {task} is under way",
        reason="retrainingUnderWay",
        hint="`tubegrader jobs list --state running --kind retrain` shows it",
    )


def _check(lock: HeldLock) -> None:
    try:
        lock.check()
    except LockLostError as error:
        raise TransientError(
            f"the database took the retraining's lock away: {error}", reason="lockLost"
        ) from error
