"""The baseline: what the channel's size alone says about a video's views."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.splits import folds_of
from ml.views.crossfit import rows_inside, rows_outside
from ml.views.regression import (
    SubscriberFeatures,
    fit_linear,
    fit_logistic,
    linear_predictor,
    sigmoid,
)
from ml.views.rung import Features, Predictions, Targets


@dataclass(frozen=True)
class SubscribersRung:
    """Log-log and logistic regression on subscribers, one pair a fold.

    Attributes:
        card: Where the model comes from.
        medians: Stand-in for hidden counts, shape (K,).
        linear: Coefficients (K, 3): intercept, log10(subscribers + 1), hidden.
        logistic: Likewise for the logit of reaching the threshold.
    """

    name: ClassVar[str] = "subscribers"
    needs_thumbnails: ClassVar[bool] = False

    card: ModelCard
    medians: FloatArray
    linear: FloatArray
    logistic: FloatArray

    @classmethod
    def fit(
        cls, features: Features, targets: Targets, folds_by_row: IntArray, card: ModelCard
    ) -> "SubscribersRung":
        """Fit both regressions on the rows outside each fold."""
        medians, linear, logistic = [], [], []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            subscribers = SubscriberFeatures.fit(features.subscriber_count[rows])
            columns = subscribers.columns(features.subscriber_count[rows])
            medians.append(subscribers.median)
            linear.append(fit_linear(columns, targets.log_views_per_day[rows]))
            logistic.append(fit_logistic(columns, targets.is_over[rows]))
        return cls(card, np.array(medians), np.array(linear), np.array(logistic))

    def predict(self, features: Features) -> Predictions:
        """Score videos; the thumbnails are not looked at."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            subscribers = SubscriberFeatures(float(self.medians[fold]))
            columns = subscribers.columns(features.subscriber_count[rows])
            part = Predictions(
                sigmoid(linear_predictor(self.logistic[fold], columns)),
                linear_predictor(self.linear[fold], columns),
            )
            result.put(rows, part)
        return result

    def save(self, directory: Path) -> None:
        """Write the artefact."""
        tensors = {"medians": self.medians, "linear": self.linear, "logistic": self.logistic}
        write_artifact(directory, self.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path) -> "SubscribersRung":
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        return cls(card, tensors["medians"], tensors["linear"], tensors["logistic"])
