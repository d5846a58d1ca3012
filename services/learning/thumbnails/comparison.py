"""Comparison: the scores in the database against what the videos did, rung by rung."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import structlog

from db.models import ModelVersion
from db.models.learning import THUMBNAILS
from db.queries.learning import records
from ml.errors import LearningError
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.ladder import OUT_OF_FOLD_SCHEMA
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import workspace
from services.learning.results import judges, newest_models_and_evaluation
from services.learning.thumbnails import datasets
from services.learning.thumbnails.extraction import ExtractionPlan, open_extractor
from services.work.jobs import JobHandle

log = structlog.get_logger()

RESAMPLES = 2000


def compare(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a comparison job: judge the newest models' scores of their own dataset.

    Returns:
        The evaluation's id and its sentence; ``is_new`` is False when the same models were
        compared before.

    Raises:
        PermanentError: There is no model, or videos of the dataset have no score.
    """
    models, newest = newest_models_and_evaluation(context, THUMBNAILS)
    if not models:
        raise PermanentError(
            "there is no model to compare", reason="noModel", hint="`tubegrader train` first"
        )
    ids = {model.rung: model.model_version_id for model in models}
    if newest is not None and judges(newest, models):
        return {
            "evaluation_id": newest.evaluation_id,
            "sentence": newest.sentence,
            "is_new": False,
        }
    job.progress(0, 0, "reading scores")
    with workspace(context, "comparison") as folder:
        dataset = datasets.fetch(context, models[0].dataset_id, folder)
        predictions = out_of_fold(context, dataset, models)
        image_features = _image_features(context, job, dataset, models[0])
        job.progress(0, 0, "resampling channels")
        evaluation = evaluate(
            dataset,
            predictions,
            resamples=RESAMPLES,
            seed=models[0].seed,
            image_features=image_features,
        )
    detail = evaluation.as_json()
    job.check()
    with context.transaction() as session:
        evaluation_id = records.add_evaluation(
            session,
            dataset_id=models[0].dataset_id,
            job_id=job.job_id,
            created_at=context.clock(),
            n_videos=evaluation.n_videos,
            n_channels=evaluation.n_channels,
            sentence=evaluation.sentence,
            detail=detail | {"model_version_ids": ids},
            metrics=_metric_rows(detail, ids),
        )
    return {"evaluation_id": evaluation_id, "sentence": evaluation.sentence, "is_new": True}


def _image_features(
    context: Context, job: JobHandle, dataset: Dataset, model: ModelVersion
) -> ImageFeatures | None:
    """Return the looks that a model was trained on, which training kept; None if it had none.

    With other weights, or none, than those of the training nothing is refitted on looks.
    """
    if not model.config.get("backbone"):
        return None
    try:
        extractor = open_extractor(context)
        if extractor.weights != model.config.get("weights"):
            return None
        return ExtractionPlan(extractor).at(dataset, job.progress)
    except LearningError as error:
        log.warning("comparison.without_looks", problem=str(error), reason=error.reason)
        return None


def out_of_fold(context: Context, dataset: Dataset, models: Sequence[ModelVersion]) -> pa.Table:
    """Return the scores of the dataset's rows in ``OUT_OF_FOLD_SCHEMA``, each model's in order.

    Raises:
        PermanentError: Videos of the dataset have no score (``notScored``).
    """
    with context.transaction() as session:
        scores = records.scores_of(
            session, model_version_ids=[model.model_version_id for model in models]
        )
    by_key = {(model, video, picture): (p, y) for video, picture, model, p, y in scores}
    video_ids, pictures = dataset.strings("video_id"), dataset.strings("thumbnail_sha256")
    folds = folds_of(
        dataset.strings("split_group"), seed=models[0].seed, folds=models[0].config["folds"]
    )
    rows = []
    for model in models:
        for video, picture, fold in zip(video_ids, pictures, folds.tolist(), strict=True):
            score = by_key.get((model.model_version_id, video, picture))
            if score is None:
                raise PermanentError(
                    f"video {video} has no score of {model.rung} version {model.version}",
                    reason="notScored",
                    hint="`tubegrader score` first",
                )
            rows.append((model.rung, video, fold, *score))
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(list(c)) for c in columns], schema=OUT_OF_FOLD_SCHEMA)


def _metric_rows(detail: dict[str, Any], ids: dict[str, int]) -> list[dict[str, Any]]:
    plain = [
        (rung, metric, "", interval)
        for rung, metrics in detail["rungs"].items()
        for metric, interval in metrics.items()
        if isinstance(interval, dict)
    ]
    paired = [
        (each["rung"], metric, each["baseline"], each[metric])
        for each in detail["differences"]
        for metric in ("delta_r2", "delta_auc")
    ]
    return [
        _metric_row(rung, metric, baseline, ids.get(rung), interval)
        for rung, metric, baseline, interval in plain + paired
        # What is undefined here, or has no interval, has no row.
        if None not in interval.values()
    ]


def _metric_row(
    rung: str, metric: str, baseline: str, model_version_id: int | None, interval: dict[str, float]
) -> dict[str, Any]:
    return {
        "rung": rung,
        "metric": metric,
        "baseline": baseline,
        "model_version_id": model_version_id,
        "value": interval["value"],
        "low": interval["low"],
        "high": interval["high"],
    }
