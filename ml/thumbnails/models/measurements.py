"""The rung of what can be named of a thumbnail: measurements beside the video and its channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ml.arrays import BoolArray, FloatArray
from ml.logistic import sigmoid
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.cross_fitted import CrossFittedRung
from ml.thumbnails.models.rung import Need, RungSpec
from ml.thumbnails.models.tabular import HistoryRung
from ml.thumbnails.stacking.regression import (
    RIDGE,
    Column,
    Design,
    fit_linear,
    fit_logistic,
    linear_predictor,
)
from ml.thumbnails.stacking.ridge import inner_folds, left_out_in_turn

PENALTIES = tuple(float(penalty) for penalty in 10.0 ** np.arange(0, 6.01, 0.5))
"""Of the measurements' standardised slopes, in rows; the largest leaves nothing of them."""
_FLOOR = 1e-9
"""A probability is kept this far from 0 and 1 where penalties are compared by log loss."""


@dataclass(frozen=True)
class MeasuredRegressions:
    """Both regressions of one fold.

    Attributes:
        medians: Stand-ins for what is unknown besides the picture, shape (C,).
        measured_medians: Stand-ins for missing measurements, shape (M,).
        linear: Coefficients (1 + 2 C + M,) for log10(views per day + 1).
        logistic: Likewise for the logit of reaching the threshold.
        penalties: What was chosen for the two, shape (2,).
    """

    medians: FloatArray
    measured_medians: FloatArray
    linear: FloatArray
    logistic: FloatArray
    penalties: FloatArray


class FeaturesRung(CrossFittedRung[MeasuredRegressions]):
    """All that is known without the picture, and interpretable measurements of it.

    Only the measurements are penalised, so with the largest penalty the rung below is what is
    left, and the difference to it is the measurements' doing. Both regressions choose their
    penalty by split groups left out among their own training rows. A picture that was not
    measured takes the training rows' medians.
    """

    spec: ClassVar[RungSpec] = RungSpec(
        name="+features",
        knows="that, and measurements of the picture that have names",
        baseline=HistoryRung.spec.name,
        needs=frozenset({Need.MEASUREMENTS}),
    )
    part_type: ClassVar[type[Any]] = MeasuredRegressions
    columns: ClassVar[tuple[Column, ...]] = HistoryRung.columns

    @classmethod
    def picture_columns(cls, features: Features) -> FloatArray:
        """Return the measurements, (N, M), NaN where there is none.

        Raises:
            LearningError: The thumbnails were not measured.
        """
        return features.measurements()

    @classmethod
    def fit_part(
        cls, known: Features, picture: FloatArray, targets: Targets, *, seed: int
    ) -> MeasuredRegressions:
        """Choose both penalties by left-out split groups and fit on all rows with them."""
        design = Design.fit(cls.columns, known)
        medians = _medians(picture)
        matrix = np.hstack([design.matrix(known), _filled(picture, medians)])
        held = np.arange(matrix.shape[1]) >= matrix.shape[1] - picture.shape[1]
        ridges = [np.where(held, penalty, RIDGE) for penalty in PENALTIES]
        linear, logistic = _choose(matrix, targets, ridges, known.groups_in_folds, seed=seed)
        return MeasuredRegressions(
            design.medians,
            medians,
            fit_linear(matrix, targets.log10_views_per_day, ridges[linear]),
            fit_logistic(matrix, targets.is_over, ridges[logistic]),
            np.array([PENALTIES[linear], PENALTIES[logistic]]),
        )

    @classmethod
    def predict_part(
        cls, part: MeasuredRegressions, known: Features, picture: FloatArray
    ) -> Predictions:
        """Score rows."""
        design = Design(cls.columns, part.medians)
        matrix = np.hstack([design.matrix(known), _filled(picture, part.measured_medians)])
        return Predictions(
            sigmoid(linear_predictor(part.logistic, matrix)), linear_predictor(part.linear, matrix)
        )


def _choose(
    matrix: FloatArray,
    targets: Targets,
    ridges: Sequence[FloatArray],
    groups: Sequence[str],
    *,
    seed: int,
) -> tuple[int, int]:
    """Return which penalty predicts left-out groups best, by squared error and by log loss."""
    errors = np.zeros((len(ridges), 2))
    for learning, left_out in left_out_in_turn(inner_folds(groups, seed=seed)):
        part, held_out = targets.take(learning), targets.take(left_out)
        for number, ridge in enumerate(ridges):
            linear = fit_linear(matrix[learning], part.log10_views_per_day, ridge)
            logistic = fit_logistic(matrix[learning], part.is_over, ridge)
            off = held_out.log10_views_per_day - linear_predictor(linear, matrix[left_out])
            p = sigmoid(linear_predictor(logistic, matrix[left_out]))
            errors[number] += off @ off, _log_loss(held_out.is_over, p)
    # Of equals the strongest penalty: where nothing is told, nothing is claimed.
    linear_choice, logistic_choice = len(ridges) - 1 - errors[::-1].argmin(axis=0)
    return int(linear_choice), int(logistic_choice)


def _log_loss(labels: BoolArray, p: FloatArray) -> float:
    p = np.clip(p, _FLOOR, 1 - _FLOOR)
    return float(-np.where(labels, np.log(p), np.log1p(-p)).sum())


def _medians(measured: FloatArray) -> FloatArray:
    """Return the medians of the columns (N, M) over the rows that have them, 0 where none has."""
    known = [column[~np.isnan(column)] for column in measured.T]
    return np.array([np.median(values) if len(values) else 0.0 for values in known])


def _filled(measured: FloatArray, medians: FloatArray) -> FloatArray:
    return np.where(np.isnan(measured), medians, measured)
