"""The plain method that what we do with thumbnails has to beat: frozen features and a ridge."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside
from ml.thumbnails.stacking.regression import fit_logistic, linear_predictor, sigmoid
from ml.thumbnails.stacking.ridge import Decomposition, inner_folds, left_out_in_turn

_SMALLEST_SCALE = 1e-6
"""A feature that never varies is left at 0."""
PENALTIES = tuple(float(penalty) for penalty in 10.0 ** np.arange(0, 7.01, 0.5))


@dataclass(frozen=True)
class FrozenRidgeRung:
    """EfficientNet-Lite0's last layer, standardised, and ridge regression on log views per day.

    The penalty is chosen by left-out split groups among the training rows; what was predicted for
    them there is what the logistic regression for the threshold is fitted on.

    Attributes:
        card: Where the model comes from.
        centres: Of the 1,280 features, shape (K, 1280).
        scales: Their standard deviations, (K, 1280).
        linear: Intercept and slopes of the standardised features, (K, 1 + 1280).
        logistic: Intercept and slope of what is predicted, (K, 2).
        penalties: What was chosen, (K,).
    """

    name: ClassVar[str] = "lite0+ridge"
    needs_thumbnails: ClassVar[bool] = True

    card: ModelCard
    centres: FloatArray
    scales: FloatArray
    linear: FloatArray
    logistic: FloatArray
    penalties: FloatArray

    @classmethod
    def fit(
        cls, features: Features, targets: Targets, folds_by_row: IntArray, card: ModelCard
    ) -> Self:
        """Choose the penalty and fit on the rows outside each fold.

        Raises:
            LearningError: No pretrained network looked at the thumbnails.
        """
        last = features.image_features_for(card).last_layer()
        parts = []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            groups = [features.split_groups[row] for row in rows]
            parts.append(FrozenRidge.fit(last[rows], targets.take(rows), groups, seed=card.seed))
        names = FrozenRidge.__dataclass_fields__
        return cls(card, *(np.array([getattr(part, name) for part in parts]) for name in names))

    def predict(self, features: Features) -> Predictions:
        """Score thumbnails.

        Raises:
            LearningError: No pretrained network, or another one, looked at them.
        """
        last = features.image_features_for(self.card).last_layer()
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            part = FrozenRidge(
                self.centres[fold],
                self.scales[fold],
                self.linear[fold],
                self.logistic[fold],
                float(self.penalties[fold]),
            )
            result.put(rows, part.predict(last[rows]))
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
class FrozenRidge:
    """The regressions of one fold; the attributes are those of :class:`FrozenRidgeRung`."""

    centres: FloatArray
    scales: FloatArray
    linear: FloatArray
    logistic: FloatArray
    penalties: float

    @classmethod
    def fit(cls, last: FloatArray, targets: Targets, groups: Sequence[str], *, seed: int) -> Self:
        """Choose the penalty by left-out split groups and fit on all rows with it.

        Args:
            last: The last layer of N thumbnails, (N, 1280).
            targets: Of the same rows.
            groups: Their split groups.
            seed: Decides the inner folds.
        """
        centres, scales = last.mean(axis=0), last.std(axis=0) + _SMALLEST_SCALE
        standard = (last - centres) / scales
        truth = targets.log10_views_per_day
        outside = np.empty((len(PENALTIES), len(last)))
        for learning, left_out in left_out_in_turn(inner_folds(groups, seed=seed)):
            centre = standard[learning].mean(axis=0)
            part = Decomposition(standard[learning] - centre)
            intercept, slopes = part.ridge(truth[learning], PENALTIES)
            outside[:, left_out] = intercept + slopes @ (standard[left_out] - centre).T
        choice = int(((outside - truth) ** 2).mean(axis=1).argmin())
        intercept, slopes = Decomposition(standard).ridge(truth, PENALTIES)
        logistic = fit_logistic(outside[choice][:, None], targets.is_over)
        return cls(centres, scales, np.r_[intercept, slopes[choice]], logistic, PENALTIES[choice])

    def predict(self, last: FloatArray) -> Predictions:
        """Score thumbnails by their last layer, (N, 1280)."""
        log_views = linear_predictor(self.linear, (last - self.centres) / self.scales)
        return Predictions(sigmoid(linear_predictor(self.logistic, log_views[:, None])), log_views)
