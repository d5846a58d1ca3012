"""The rung of what can be named of a thumbnail: measurements beside the video and its channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.tabular import HistoryRung
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside
from ml.thumbnails.stacking.design import Column, Design
from ml.thumbnails.stacking.regression import (
    RIDGE,
    fit_linear,
    fit_logistic,
    linear_predictor,
    sigmoid,
)
from ml.thumbnails.stacking.ridge import inner_folds, left_out_in_turn

PENALTIES = tuple(float(penalty) for penalty in 10.0 ** np.arange(0, 6.01, 0.5))
"""Of the measurements' standardised slopes, in rows; the largest leaves nothing of them."""
_FLOOR = 1e-9
"""A probability is kept this far from 0 and 1 where penalties are compared by log loss."""


@dataclass(frozen=True)
class FeaturesRung:
    """All that is known without the picture, and interpretable measurements of it.

    Only the measurements are penalised, so with the largest penalty the rung below is what is
    left, and the difference to it is the measurements' doing. Both regressions choose their
    penalty by split groups left out among their own training rows. A picture that was not
    measured takes the training rows' medians.

    Attributes:
        card: Where the model comes from.
        medians: Stand-ins for what is unknown besides the picture, shape (K, C).
        measured_medians: Stand-ins for missing measurements, shape (K, M).
        linear: Coefficients (K, 1 + 2 C + M) for log10(views per day + 1).
        logistic: Likewise for the logit of reaching the threshold.
        penalties: What was chosen for the two, shape (K, 2).
    """

    name: ClassVar[str] = "+features"
    needs_thumbnails: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = HistoryRung.columns

    card: ModelCard
    medians: FloatArray
    measured_medians: FloatArray
    linear: FloatArray
    logistic: FloatArray
    penalties: FloatArray

    @classmethod
    def fit(
        cls, features: Features, targets: Targets, folds_by_row: IntArray, card: ModelCard
    ) -> Self:
        """Choose penalties and fit both regressions on the rows outside each fold.

        Raises:
            LearningError: The thumbnails were not measured.
        """
        measured = features.measurements()
        known = features.without_pictures()
        parts = []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            part = MeasuredRegression.fit(
                cls.columns,
                known.take(rows),
                measured[rows],
                targets.take(rows),
                seed=card.seed,
            )
            parts.append(part)
        return cls(
            card,
            np.array([part.design.medians for part in parts]),
            np.array([part.measured_medians for part in parts]),
            np.array([part.linear for part in parts]),
            np.array([part.logistic for part in parts]),
            np.array([part.penalties for part in parts]),
        )

    def predict(self, features: Features) -> Predictions:
        """Score videos.

        Raises:
            LearningError: The thumbnails were not measured.
        """
        measured = features.measurements()
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        known = features.without_pictures()
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            part = MeasuredRegression(
                Design(self.columns, self.medians[fold]),
                self.measured_medians[fold],
                self.linear[fold],
                self.logistic[fold],
                self.penalties[fold],
            )
            result.put(rows, part.predict(known.take(rows), measured[rows]))
        return result

    def save(self, directory: Path) -> None:
        """Write the artefact."""
        tensors = {name: value for name, value in vars(self).items() if name != "card"}
        write_artifact(directory, self.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        return cls(card, **tensors)


@dataclass(frozen=True)
class MeasuredRegression:
    """Both regressions of one fold; the attributes are those of :class:`FeaturesRung`."""

    design: Design
    measured_medians: FloatArray
    linear: FloatArray
    logistic: FloatArray
    penalties: FloatArray

    @classmethod
    def fit(
        cls,
        columns: tuple[Column, ...],
        known: Features,
        measured: FloatArray,
        targets: Targets,
        *,
        seed: int,
    ) -> Self:
        """Choose both penalties by left-out split groups and fit on all rows with them.

        Args:
            columns: What is used besides the measurements.
            known: Of N rows.
            measured: Measurements (N, M), NaN where there is none.
            targets: Of the same rows.
            seed: Decides the inner folds.
        """
        design = Design.fit(columns, known)
        medians = _medians(measured)
        matrix = np.hstack([design.matrix(known), _filled(measured, medians)])
        held = np.arange(matrix.shape[1]) >= matrix.shape[1] - measured.shape[1]
        ridges = [np.where(held, penalty, RIDGE) for penalty in PENALTIES]
        linear, logistic = _choose(matrix, targets, ridges, known.split_groups, seed=seed)
        return cls(
            design,
            medians,
            fit_linear(matrix, targets.log10_views_per_day, ridges[linear]),
            fit_logistic(matrix, targets.is_over, ridges[logistic]),
            np.array([PENALTIES[linear], PENALTIES[logistic]]),
        )

    def predict(self, known: Features, measured: FloatArray) -> Predictions:
        """Score videos of which measurements (N, M) are known."""
        matrix = np.hstack([self.design.matrix(known), _filled(measured, self.measured_medians)])
        return Predictions(
            sigmoid(linear_predictor(self.logistic, matrix)),
            linear_predictor(self.linear, matrix),
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
        part, judged = targets.take(learning), targets.take(left_out)
        for number, ridge in enumerate(ridges):
            linear = fit_linear(matrix[learning], part.log10_views_per_day, ridge)
            logistic = fit_logistic(matrix[learning], part.is_over, ridge)
            off = judged.log10_views_per_day - linear_predictor(linear, matrix[left_out])
            p = sigmoid(linear_predictor(logistic, matrix[left_out]))
            errors[number] += off @ off, _log_loss(judged.is_over, p)
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
