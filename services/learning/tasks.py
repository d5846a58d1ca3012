"""What can be learned: from thumbnails or from speech; the same steps, each in a package."""

import importlib
from typing import Any

from db.models.learning import SPEECH, TASKS, THUMBNAILS
from services.context import Context
from services.errors import PermanentError
from services.work.jobs import JobHandle, JobWork

_PACKAGES = {THUMBNAILS: "services.learning.thumbnails", SPEECH: "services.learning.speech"}
RETRAINING = "retraining"


def task_of(params: dict[str, Any]) -> str:
    """Return the task of a job by its params; jobs without one are of thumbnails.

    Raises:
        PermanentError: There is no such task.
    """
    task = str(params.get("task", THUMBNAILS))
    if task not in TASKS:
        raise PermanentError(f"nothing learns “{task}”", reason="unknownTask")
    return task


def work_of(step: str) -> JobWork:
    """Return the work of a step (``training``, ``scoring``, ``comparison``, ``retraining``).

    Which package does it, the job's param ``task`` says; retraining is one for all.
    """

    def work(context: Context, job: JobHandle) -> dict[str, object]:
        task = task_of(job.params)
        place = "services.learning.pipeline" if step == RETRAINING else f"{_PACKAGES[task]}.{step}"
        return named(f"{place}:work")(context, job)

    return work


def named(path: str) -> JobWork:
    """Return a step by its place, ``package.module:function``; imported when it is needed.

    So who learns from thumbnails needs nothing that decodes sound, and the other way round.
    """
    module, _, function = path.partition(":")
    found: JobWork = getattr(importlib.import_module(module), function)
    return found
