"""What can be learned: from thumbnails or from speech; the same steps, each in a package."""

import importlib
from typing import Final

from services.context import Context
from services.errors import PermanentError
from services.jobs import JobHandle, JobWork

THUMBNAILS: Final = "thumbnails"
SPEECH: Final = "speech"
TASKS = (THUMBNAILS, SPEECH)
_PACKAGES = {THUMBNAILS: "services.learning", SPEECH: "services.learning.speech"}


def work_of(step: str) -> JobWork:
    """Return the work of a step (``training``, ``scoring``, ``comparison``, ``retraining``).

    Which package does it, the job's param ``task`` says; jobs without one are of thumbnails.
    """

    def work(context: Context, job: JobHandle) -> dict[str, object]:
        task = job.params.get("task", THUMBNAILS)
        if task not in _PACKAGES:
            raise PermanentError(f"nothing learns “{task}”", reason="unknownTask")
        done: JobWork = importlib.import_module(f"{_PACKAGES[task]}.{step}").work
        return done(context, job)

    return work
