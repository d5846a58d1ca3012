"""What can be learned, each task with the steps of its nights as functions.

What a step needs is imported when it runs, not before: torch takes seconds, and who learns from
thumbnails needs nothing that decodes sound, nor the other way round.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from db.models import ModelVersion
from db.models.learning import SPEECH, THUMBNAILS
from services.context import Context
from services.errors import PermanentError
from services.work.jobs import JobHandle, JobWork
from services.work.shards import ShardHandle


class LearningTask(ABC):
    """Something to learn: every step is the work of a job, and goes on where one was left.

    Attributes:
        name: In the database, in jobs and on the command line.
    """

    name: ClassVar[str]

    def night(self) -> dict[str, JobWork]:
        """Return the steps of a retraining in their order, by the names that jobs keep them under.

        The names never change: a job that an earlier release began is finished by this one.
        """
        return {
            "train": self.train,
            "score": self.score_newest,
            "compare": self.compare,
            "contest": self.promote,
            "scoreRest": self.score_in_use,
        }

    @abstractmethod
    def train(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Freeze a dataset and train every model on it."""

    @abstractmethod
    def score(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Do both of :meth:`score_newest` and :meth:`score_in_use`."""

    @abstractmethod
    def score_newest(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score with the newest models what they are compared by."""

    @abstractmethod
    def score_in_use(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score everything that lacks a score of the models in use: what users read."""

    @abstractmethod
    def estimate(self, context: Context) -> dict[str, Any]:
        """Return what :meth:`score_in_use` would take now."""

    @abstractmethod
    def score_shard(self, context: Context, handle: ShardHandle) -> None:
        """Do a shard of any of these scorings."""

    @abstractmethod
    def compare(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Compare the newest models by their scores in the database."""

    @abstractmethod
    def promote(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Evaluate a challenger against the champion and decide which models are in use."""

    @abstractmethod
    def check_files(self, context: Context, models: Sequence[ModelVersion], folder: Path) -> None:
        """See that models can be loaded.

        Args:
            context: Where they are stored.
            models: What was trained together.
            folder: An empty one to load them in.

        Raises:
            PermanentError: A file is missing or damaged.
        """


class ThumbnailsTask(LearningTask):
    """What a thumbnail is worth in views per day."""

    name = THUMBNAILS

    def night(self) -> dict[str, JobWork]:
        """Return the steps; at the end new videos are compared with those learned from."""
        return super().night() | {"drift": self.detect_drift}

    def train(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Train every rung of the ladder."""
        from services.learning.thumbnails import training  # noqa: PLC0415

        return training.train(context, job)

    def score(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score the newest models' own rows, and every video with the models in use."""
        from services.learning.thumbnails import scoring  # noqa: PLC0415

        return scoring.score(context, job)

    def score_newest(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score the newest models' own rows."""
        from services.learning.thumbnails import scoring  # noqa: PLC0415

        return scoring.score_newest(context, job)

    def score_in_use(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score every video."""
        from services.learning.thumbnails import scoring  # noqa: PLC0415

        return scoring.score_in_use(context, job)

    def estimate(self, context: Context) -> dict[str, Any]:
        """Look at every video."""
        from services.learning.thumbnails import scoring  # noqa: PLC0415

        return scoring.estimate(context)

    def score_shard(self, context: Context, handle: ShardHandle) -> None:
        """Do a shard of videos."""
        from services.learning.thumbnails import shards  # noqa: PLC0415

        shards.do_shard(context, handle)

    def compare(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Compare the rungs by what the videos did."""
        from services.learning.thumbnails import comparison  # noqa: PLC0415

        return comparison.compare(context, job)

    def promote(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Evaluate a rung against the champion on the newest videos."""
        from services.learning.thumbnails import promotion  # noqa: PLC0415

        return promotion.promote(context, job)

    def detect_drift(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Compare the newest videos with those that the champion learned from."""
        from services.learning.drift import measuring  # noqa: PLC0415

        return measuring.detect_drift(context, job)

    def check_files(self, context: Context, models: Sequence[ModelVersion], folder: Path) -> None:
        """See that rungs can be loaded."""
        from services.learning.thumbnails import predicting  # noqa: PLC0415

        predicting.load_rungs(context, models, folder)


class SpeechTask(LearningTask):
    """Which language is spoken."""

    name = SPEECH

    def train(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Train every kind of model, each with sources left out in turn."""
        from services.learning.speech import training  # noqa: PLC0415

        return training.train(context, job)

    def score(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score every clip with the newest models and with those in use."""
        from services.learning.speech import scoring  # noqa: PLC0415

        return scoring.score(context, job)

    def score_newest(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score every clip with the newest models."""
        from services.learning.speech import scoring  # noqa: PLC0415

        return scoring.score_newest(context, job)

    def score_in_use(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Score every clip with the models in use."""
        from services.learning.speech import scoring  # noqa: PLC0415

        return scoring.score_in_use(context, job)

    def estimate(self, context: Context) -> dict[str, Any]:
        """Look at every clip."""
        from services.learning.speech import scoring  # noqa: PLC0415

        return scoring.estimate(context)

    def score_shard(self, context: Context, handle: ShardHandle) -> None:
        """Do a shard of clips."""
        from services.learning.speech import shards  # noqa: PLC0415

        shards.do_shard(context, handle)

    def compare(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Compare the models by what was labelled."""
        from services.learning.speech import comparison  # noqa: PLC0415

        return comparison.compare(context, job)

    def promote(self, context: Context, job: JobHandle) -> dict[str, Any]:
        """Evaluate a model against the champion on speakers that neither learned from."""
        from services.learning.speech import promotion  # noqa: PLC0415

        return promotion.promote(context, job)

    def check_files(self, context: Context, models: Sequence[ModelVersion], folder: Path) -> None:
        """See that models can be loaded, with every fold's training."""
        from services.learning.speech.models import get_model  # noqa: PLC0415

        for model in models:
            get_model(context.store, model.files, folder / str(model.model_version_id))


TASKS: dict[str, LearningTask] = {task.name: task for task in (ThumbnailsTask(), SpeechTask())}


def task_of(params: dict[str, Any]) -> LearningTask:
    """Return the task of a job by its params; jobs without one are of thumbnails.

    Raises:
        PermanentError: There is no such task.
    """
    name = str(params.get("task", THUMBNAILS))
    if name not in TASKS:
        raise PermanentError(f"nothing learns “{name}”", reason="unknownTask")
    return TASKS[name]


def train(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a training job; its params name the task and are for that task's training."""
    return task_of(job.params).train(context, job)


def score(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a scoring job; its params name the task."""
    return task_of(job.params).score(context, job)


def compare(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a comparison job; its params name the task."""
    return task_of(job.params).compare(context, job)


def score_shard(context: Context, handle: ShardHandle) -> None:
    """Do a shard of a scoring, whichever task it is of.

    Raises:
        HostError: This machine lacks something for it.
    """
    TASKS[handle.shard.task].score_shard(context, handle)
