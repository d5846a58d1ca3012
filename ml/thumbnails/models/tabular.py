"""The rungs that look at no picture: what is known of the video and its channel."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside
from ml.thumbnails.stacking.design import (
    AGE_FORMAT,
    HISTORY,
    SUBSCRIBERS,
    SUBSCRIBERS_AGE,
    Column,
    Design,
)
from ml.thumbnails.stacking.regression import fit_linear, fit_logistic, linear_predictor, sigmoid


@dataclass(frozen=True)
class TabularRung:
    """Least squares on log views per day and logistic regression, one pair a fold.

    Attributes:
        card: Where the model comes from.
        medians: Stand-ins for what is unknown, shape (K, C).
        linear: Coefficients (K, 1 + 2 C): the intercept, then each column and its unknown.
        logistic: Likewise for the logit of reaching the threshold.
    """

    name: ClassVar[str]
    needs_thumbnails: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]]

    card: ModelCard
    medians: FloatArray
    linear: FloatArray
    logistic: FloatArray

    @classmethod
    def fit(
        cls, features: Features, targets: Targets, folds_by_row: IntArray, card: ModelCard
    ) -> Self:
        """Fit both regressions on the rows outside each fold."""
        features = features.without_pictures()
        medians, linear, logistic = [], [], []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            known = features.take(rows)
            design = Design.fit(cls.columns, known)
            matrix = design.matrix(known)
            medians.append(design.medians)
            linear.append(fit_linear(matrix, targets.log10_views_per_day[rows]))
            logistic.append(fit_logistic(matrix, targets.is_over[rows]))
        return cls(card, np.array(medians), np.array(linear), np.array(logistic))

    def predict(self, features: Features) -> Predictions:
        """Score videos; the thumbnails are not looked at."""
        features = features.without_pictures()
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            matrix = Design(self.columns, self.medians[fold]).matrix(features.take(rows))
            part = Predictions(
                sigmoid(linear_predictor(self.logistic[fold], matrix)),
                linear_predictor(self.linear[fold], matrix),
            )
            result.put(rows, part)
        return result

    def save(self, directory: Path) -> None:
        """Write the artefact."""
        tensors = {"medians": self.medians, "linear": self.linear, "logistic": self.logistic}
        write_artifact(directory, self.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        return cls(card, tensors["medians"], tensors["linear"], tensors["logistic"])


class AgeFormatRung(TabularRung):
    """The video itself: how old, how long, of which format."""

    name: ClassVar[str] = "age+format"
    columns: ClassVar[tuple[Column, ...]] = AGE_FORMAT


class SubscribersRung(TabularRung):
    """The baseline: what the channel's size alone says about a video's views."""

    name: ClassVar[str] = "subscribers"
    columns: ClassVar[tuple[Column, ...]] = SUBSCRIBERS


class SubscribersAgeRung(TabularRung):
    """The strong baseline: the channel's size and the video's age, length and format."""

    name: ClassVar[str] = "subscribers+age"
    columns: ClassVar[tuple[Column, ...]] = SUBSCRIBERS_AGE


class HistoryRung(TabularRung):
    """The strong baseline and what the channel's earlier videos got."""

    name: ClassVar[str] = "+history"
    columns: ClassVar[tuple[Column, ...]] = (*SUBSCRIBERS_AGE, *HISTORY)
