"""Forward in time: models of the earlier videos, judged by later ones of channels they never saw.

Out-of-fold figures mix the times: a model may learn from videos newer than the one it judges.
Here it may not. "Earlier" is by publication; whether its views had been counted when the later
video came is not asked, as datasets of one collection could not be judged at all then. Rungs that
look at pictures are left out: their networks would have to be trained anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ml import metrics
from ml.arrays import IntArray
from ml.datasets import Dataset
from ml.views import tabular
from ml.views.design import Column, Design
from ml.views.regression import fit_linear, fit_logistic, linear_predictor, sigmoid
from ml.views.rung import Features, Predictions, Targets

RUNGS = (
    tabular.AgeFormatRung,
    tabular.SubscribersRung,
    tabular.SubscribersAgeRung,
    tabular.HistoryRung,
)
MIN_ROWS = 50
"""In each half; fewer teach nothing that one could judge."""


@dataclass(frozen=True)
class Forward:
    """The rungs without pictures, forward in time.

    Attributes:
        cut: The videos published from then on are judged, ISO 8601.
        n_earlier: Videos before.
        n_later: Videos judged.
        rungs: By name: ``auc`` and ``r2``; None where undefined.
    """

    cut: str
    n_earlier: int
    n_later: int
    rungs: Mapping[str, Mapping[str, float | None]]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dict(vars(self))


def forward_in_time(dataset: Dataset, folds: IntArray) -> Forward | None:
    """Fit each rung on the earlier half of the videos and judge it by the later half.

    Args:
        dataset: The rows.
        folds: Of each row, shape (N,); a row is judged by a model without its fold.

    Returns:
        None where the halves are too small or hold one class only.
    """
    published = dataset.table["published_at"].cast(pa.int64()).to_numpy()
    cut = int(np.median(published))
    earlier, later = np.flatnonzero(published < cut), np.flatnonzero(published >= cut)
    targets = Targets(dataset.log_views_per_day, dataset.is_over)
    for rows in (earlier, later):
        part = targets.is_over[rows]
        if len(rows) < MIN_ROWS or part.all() or not part.any():
            return None
    features = Features.of_table(dataset.table)
    n_folds = int(folds.max()) + 1
    if np.bincount(folds[earlier], minlength=n_folds).max() == len(earlier):
        return None
    judged = targets.take(later)
    rungs = {}
    for kind in RUNGS:
        p_over, log_views = np.empty(len(later)), np.empty(len(later))
        for fold in range(n_folds):
            learning = earlier[folds[earlier] != fold]
            inside = np.flatnonzero(folds[later] == fold)
            predictions = _predicted(
                kind.columns,
                features.take(learning),
                targets.take(learning),
                features.take(later[inside]),
            )
            p_over[inside] = predictions.p_over
            log_views[inside] = predictions.log_views_per_day
        figures = {
            "auc": metrics.auc(judged.is_over, p_over, strata=folds[later]),
            "r2": metrics.r_squared(judged.log_views_per_day, log_views),
        }
        rungs[kind.name] = {
            name: float(value) if np.isfinite(value) else None for name, value in figures.items()
        }
    moment = dataset.table["published_at"].type
    cut_at = pa.scalar(cut, pa.int64()).cast(moment).as_py()
    return Forward(cut_at.isoformat(), len(earlier), len(later), rungs)


def _predicted(
    columns: tuple[Column, ...], learning: Features, targets: Targets, judged: Features
) -> Predictions:
    design = Design.fit(columns, learning)
    known, asked = design.matrix(learning), design.matrix(judged)
    return Predictions(
        sigmoid(linear_predictor(fit_logistic(known, targets.is_over), asked)),
        linear_predictor(fit_linear(known, targets.log_views_per_day), asked),
    )
