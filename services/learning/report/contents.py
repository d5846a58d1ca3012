"""What a report shows: one comparison, the rows it evaluated and the pictures furthest off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from db.models import Evaluation, ModelVersion
from db.models.learning import THUMBNAILS
from db.queries.learning import datasets, evaluations, model_versions
from ml.arrays import BoolArray, FloatArray
from ml.evaluation.bootstrap import Interval
from ml.evaluation.metrics import CalibrationBin
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.evaluation.evaluate import BASELINE, FULL
from ml.thumbnails.models.registry import load_rung, rung_names
from ml.thumbnails.models.tabular import SubscribersRung
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import get_folder, workspace
from services.learning.report import formatting
from services.learning.report.extremes import Extremes, furthest_off
from services.learning.thumbnails import scored
from services.learning.thumbnails.datasets import fetch_rows

METRICS = ("auc", "r2", "spearman", "brier")


@dataclass(frozen=True)
class RungResult:
    """One rung of the ladder.

    Attributes:
        name: Such as ``subscribers``.
        version: Of the model that was evaluated; None if its row is gone.
        metrics: Intervals by name, METRICS at least; NaN where undefined.
        calibration: Predicted and observed shares by bin.
    """

    name: str
    version: int | None
    metrics: Mapping[str, Interval]
    calibration: Sequence[CalibrationBin]


@dataclass(frozen=True)
class Difference:
    """What a rung has over its neighbour, paired by channel."""

    rung: str
    baseline: str
    delta_auc: Interval
    delta_r2: Interval


@dataclass(frozen=True)
class Line:
    """log10(views per day + 1) = intercept + slope · log10(subscribers + 1)."""

    intercept: float
    slope: float


@dataclass(frozen=True)
class Rows:
    """The N evaluated videos that are still in the database.

    Attributes:
        subscribers: Shape (N,), NaN where hidden.
        views_per_day: Shape (N,).
        is_over: Shape (N,): at least the threshold.
        predicted: log10(views per day + 1) by rung, each of shape (N,).
    """

    subscribers: FloatArray
    views_per_day: FloatArray
    is_over: BoolArray
    predicted: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return len(self.views_per_day)

    @property
    def log_views(self) -> FloatArray:
        """log10(views per day + 1), shape (N,)."""
        logs: FloatArray = np.log10(self.views_per_day + 1)
        return logs


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    sentence: str
    evaluation_id: int
    evaluated_at: datetime
    written_at: datetime
    code_version: str
    n_videos: int
    n_channels: int
    base_rate: float
    threshold: float
    resamples: int
    as_of: datetime
    dataset_id: str
    excluded: Mapping[str, int]
    rungs: Sequence[RungResult]
    delta_r2: Interval
    delta_auc: Interval
    line: Line
    rows: Rows
    extremes: Extremes
    headline: tuple[str, str] = (FULL, BASELINE)
    differences: Sequence[Difference] = ()
    notes: Sequence[str] = ()
    slices: Sequence[Mapping[str, Any]] = ()
    forward: Mapping[str, Any] | None = None

    def rung(self, name: str) -> RungResult:
        """Return a rung's result by name."""
        return next(rung for rung in self.rungs if rung.name == name)


def gather(context: Context) -> Report:
    """Read the newest comparison and what it evaluated.

    The rows come from the frozen dataset and the scores from the very model versions that were
    compared, so the pictures show what the numbers were computed from, whatever came since.

    Raises:
        PermanentError: Nothing was compared yet (``noComparison``), or what was compared is gone.
    """
    with context.transaction() as session:
        evaluation = evaluations.newest(session, task=THUMBNAILS)
        if evaluation is None:
            raise PermanentError(
                "nothing was compared yet",
                reason="noComparison",
                hint="`tubegrader channels crawl`, then `tubegrader models train`, then"
                " `tubegrader models score`",
            )
        ids: dict[str, int] = evaluation.detail["model_version_ids"]
        models = {m.rung: m for m in model_versions.by_ids(session, list(ids.values())).values()}
        dataset_row = datasets.get(session, evaluation.dataset_id)
        assert dataset_row is not None, "a foreign key holds it"
    with workspace(context, "report") as folder:
        dataset = fetch_rows(context, dataset_row, folder / "dataset")
        line = _line(context, models[BASELINE], folder / "model") if BASELINE in models else None
    kept, predicted = _scored(context, dataset, ids)
    if line is None or not kept.any():
        raise PermanentError(
            "the models or videos of the newest comparison are gone from the database",
            reason="comparisonGone",
            hint="`tubegrader models train`, then `tubegrader models score` compares what is there"
            " now",
        )
    rows = Rows(
        dataset.subscriber_count[kept],
        np.asarray(dataset.table["views_per_day"].to_numpy(), np.float64)[kept],
        dataset.is_over[kept],
        {rung: values[kept] for rung, values in predicted.items()},
    )
    videos = dataset.table.filter(kept).select(
        ["video_id", "channel_id", "title", "thumbnail_sha256"]
    )
    evaluated = _evaluated(evaluation, models)
    best = rows.predicted[evaluated["headline"][0]]
    return Report(
        extremes=furthest_off(context, videos, rows.log_views, best),
        rows=rows,
        line=line,
        written_at=context.clock(),
        excluded=dict(dataset_row.excluded),
        as_of=dataset_row.as_of,
        base_rate=dataset_row.base_rate,
        threshold=dataset_row.threshold,
        **evaluated,
    )


def _evaluated(evaluation: Evaluation, models: Mapping[str, ModelVersion]) -> dict[str, Any]:
    """Return the part of the report that the evaluation itself says."""
    detail = evaluation.detail
    # JSON in PostgreSQL forgets the order; the registry has it.
    order = {name: i for i, name in enumerate(rung_names())}
    rungs = sorted(detail["rungs"].items(), key=lambda item: order.get(item[0], len(order)))
    # A comparison of an earlier release has no headline: it was about subscribers alone.
    beyond = detail.get("headline", detail["beyond_subscribers"])
    return {
        "sentence": evaluation.sentence,
        "evaluation_id": evaluation.evaluation_id,
        "evaluated_at": evaluation.created_at,
        "n_videos": evaluation.n_videos,
        "n_channels": evaluation.n_channels,
        "resamples": detail["resamples"],
        "dataset_id": evaluation.dataset_id,
        "code_version": models[BASELINE].code_version,
        "rungs": [
            RungResult(
                name,
                models[name].version if name in models else None,
                {metric: Interval.from_json(values[metric]) for metric in METRICS},
                [CalibrationBin(**bin_) for bin_ in values["calibration"]],
            )
            for name, values in rungs
        ],
        "headline": (beyond.get("rung", FULL), beyond.get("baseline", BASELINE)),
        "differences": [
            Difference(
                each["rung"],
                each["baseline"],
                Interval.from_json(each["delta_auc"]),
                Interval.from_json(each["delta_r2"]),
            )
            for each in detail.get("differences", ())
        ],
        "notes": _notes(detail),
        "slices": detail.get("slices", ()),
        "forward": detail.get("forward"),
        "delta_r2": Interval.from_json(beyond["delta_r2"]),
        "delta_auc": Interval.from_json(beyond["delta_auc"]),
    }


def _notes(detail: Mapping[str, Any]) -> list[str]:
    """Return what else the comparison found, in sentences; an earlier release found less."""
    notes = []
    dealt = detail.get("permutation")
    if dealt is not None:
        notes.append(
            "With thumbnails dealt out anew within channels, the thumbnail adds"
            f" {formatting.decimal(dealt['null_mean'], signed=True)} on average and less than"
            f" {formatting.decimal(dealt['null_high'], signed=True)} in 95 of 100 dealings"
            f" (p = {formatting.decimal(dealt['p_value'])})."
        )
    return notes


def _line(context: Context, model: ModelVersion, folder: Path) -> Line:
    """Return the mean of the folds' fitted lines: they differ by what one fold's channels do."""
    rung = load_rung(get_folder(context.store, model.files, folder))
    assert isinstance(rung, SubscribersRung)
    intercept, slope, _ = np.mean([part.linear for part in rung.parts], axis=0).tolist()
    return Line(intercept, slope)


def _scored(
    context: Context, dataset: Dataset, ids: Mapping[str, int]
) -> tuple[BoolArray, dict[str, FloatArray]]:
    """Return which rows every model still has a score of, and the scores, NaN where gone.

    Scores go with their video when it is purged; the comparison, made before, still counts it.
    """
    found = scored.read(context, dataset.table, list(ids.values())).log10_views_per_day
    kept = np.asarray(np.isfinite(found).all(axis=0))
    return kept, dict(zip(ids, found, strict=True))
