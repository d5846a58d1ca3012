"""The step of a night that compares a task's newest models, the same for every task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.models import ModelVersion
from db.queries.learning import evaluations
from services.context import Context
from services.learning.artifacts import workspace
from services.learning.results import covers, need_models, newest_models_and_evaluation
from services.work.jobs import JobHandle


@dataclass(frozen=True)
class Metric:
    """A measured figure of a rung with its interval.

    Attributes:
        rung: Whose.
        name: What was measured.
        interval: ``value``, ``low`` and ``high``; one that is not defined is None.
        baseline: The rung that was subtracted; empty for a plain value.
    """

    rung: str
    name: str
    interval: Mapping[str, float | None]
    baseline: str = ""


@dataclass(frozen=True)
class Comparison:
    """How models compare on the rows of one dataset.

    Attributes:
        n_rows: Videos or segments.
        n_clusters: Channels or speakers, by which the intervals are.
        sentence: The answer in one plain sentence.
        detail: The whole result, as JSON values.
        metrics: Its figures that have an interval.
    """

    n_rows: int
    n_clusters: int
    sentence: str
    detail: dict[str, Any]
    metrics: Sequence[Metric]


Compare = Callable[[Sequence[ModelVersion], Path], Comparison]
"""Compares models by their scores of their own dataset; gets an empty folder to work in."""


def compare_newest(context: Context, job: JobHandle, task: str, compare: Compare) -> dict[str, Any]:
    """Compare the newest models of a task and record what is found.

    Args:
        context: What to work with.
        job: The comparison, or a retraining.
        task: ``thumbnails`` or ``speech``.
        compare: What the task does of it.

    Returns:
        The evaluation's id and its sentence; ``is_new`` is False when the same models were
        compared before.

    Raises:
        PermanentError: There is no model, or rows of the dataset have no score.
    """
    models, newest = newest_models_and_evaluation(context, task)
    need_models(models, task, "to compare")
    if newest is not None and covers(newest, models):
        return {
            "evaluation_id": newest.evaluation_id,
            "sentence": newest.sentence,
            "is_new": False,
        }
    with workspace(context, "comparison") as folder:
        compared = compare(models, folder)
    ids = {model.rung: model.model_version_id for model in models}
    job.check()
    with context.transaction() as session:
        evaluation_id = evaluations.add(
            session,
            dataset_id=models[0].dataset_id,
            job_id=job.job_id,
            created_at=context.clock(),
            n_videos=compared.n_rows,
            n_channels=compared.n_clusters,
            sentence=compared.sentence,
            detail=compared.detail | {"model_version_ids": ids},
            metrics=[
                _row(metric, ids.get(metric.rung))
                for metric in compared.metrics
                # What is not defined, or has no interval, has no row; it is in the detail.
                if None not in metric.interval.values()
            ],
        )
    return {"evaluation_id": evaluation_id, "sentence": compared.sentence, "is_new": True}


def _row(metric: Metric, model_version_id: int | None) -> dict[str, Any]:
    return {
        "rung": metric.rung,
        "metric": metric.name,
        "baseline": metric.baseline,
        "model_version_id": model_version_id,
        **{end: metric.interval[end] for end in ("value", "low", "high")},
    }
