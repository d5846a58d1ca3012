"""Comparison: the scores in the database against what the videos did, rung by rung."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import structlog

from db.models import ModelVersion
from db.models.learning import THUMBNAILS
from ml.errors import LearningError
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.ladder import out_of_fold_of
from services.context import Context
from services.errors import PermanentError
from services.learning.comparison import Comparison, Metric, compare_newest
from services.learning.thumbnails import datasets, scored
from services.learning.thumbnails.extraction import ExtractionPlan, open_extractor
from services.work.jobs import JobHandle

log = structlog.get_logger()

RESAMPLES = 2000


def compare(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a comparison job: evaluate the newest models' scores of their own dataset.

    Returns, raises:
        As :func:`services.learning.comparison.compare_newest`.
    """

    def compared(models: Sequence[ModelVersion], folder: Path) -> Comparison:
        return _compared(context, job, models, folder)

    return compare_newest(context, job, THUMBNAILS, compared)


def _compared(
    context: Context, job: JobHandle, models: Sequence[ModelVersion], folder: Path
) -> Comparison:
    job.progress(0, 0, "reading scores")
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
    return Comparison(
        evaluation.n_videos, evaluation.n_channels, evaluation.sentence, detail, _metrics(detail)
    )


def _image_features(
    context: Context, job: JobHandle, dataset: Dataset, model: ModelVersion
) -> ImageFeatures | None:
    """Return the image features that a model was trained on, which training kept; None if none.

    With other weights, or none, than those of the training nothing is refitted on them.
    """
    if not model.config.get("backbone"):
        return None
    try:
        extractor = open_extractor(context)
        if extractor.weights != model.config.get("weights"):
            return None
        return ExtractionPlan(extractor).at(dataset, job.progress)
    except LearningError as error:
        log.warning("comparison.without_image_features", problem=str(error), reason=error.reason)
        return None


def out_of_fold(context: Context, dataset: Dataset, models: Sequence[ModelVersion]) -> pa.Table:
    """Return the scores of the dataset's rows in ``OUT_OF_FOLD_SCHEMA``, each model's in order.

    Raises:
        PermanentError: Videos of the dataset have no score (``notScored``).
    """
    found = scored.read(context, dataset.table, [model.model_version_id for model in models])
    folds = folds_of(
        dataset.strings("split_group"), seed=models[0].seed, folds=models[0].config["folds"]
    )
    parts = []
    for place, model in enumerate(models):
        said = found.of(place)
        lacking = np.flatnonzero(np.isnan(said.probability_over))
        if len(lacking):
            video = dataset.table["video_id"][int(lacking[0])].as_py()
            raise PermanentError(
                f"video {video} has no score of {model.rung} version {model.version}",
                reason="notScored",
                hint="`tubegrader models score` first",
            )
        parts.append(out_of_fold_of(model.rung, said, dataset.table["video_id"], folds))
    return pa.concat_tables(parts)


def _metrics(detail: dict[str, Any]) -> list[Metric]:
    plain = [
        Metric(rung, name, interval)
        for rung, metrics in detail["rungs"].items()
        for name, interval in metrics.items()
        if isinstance(interval, dict)
    ]
    paired = [
        Metric(each["rung"], name, each[name], baseline=each["baseline"])
        for each in detail["differences"]
        for name in ("delta_r2", "delta_auc")
    ]
    return plain + paired
