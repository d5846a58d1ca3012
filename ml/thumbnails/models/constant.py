"""The rung that knows nothing: the training folds' share over the threshold and mean log views."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.stacking.crossfit import rows_outside


@dataclass(frozen=True)
class ConstantRung:
    """One pair of constants a fold.

    Attributes:
        card: Where the model comes from.
        probability_over: Shape (K,).
        log10_views_per_day: Shape (K,).
    """

    name: ClassVar[str] = "constant"
    needs_thumbnails: ClassVar[bool] = False

    card: ModelCard
    probability_over: FloatArray
    log10_views_per_day: FloatArray

    @classmethod
    def fit(cls, targets: Targets, folds_by_row: IntArray, card: ModelCard) -> "ConstantRung":
        """Take the means over the rows outside each fold."""
        outside = [targets.take(rows_outside(folds_by_row, k)) for k in range(card.folds)]
        return cls(
            card,
            probability_over=np.array([part.is_over.mean() for part in outside]),
            log10_views_per_day=np.array([part.log10_views_per_day.mean() for part in outside]),
        )

    def predict(self, features: Features) -> Predictions:
        """Return the constants of each row's fold."""
        folds = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        return Predictions(self.probability_over[folds], self.log10_views_per_day[folds])

    def save(self, directory: Path) -> None:
        """Write the artefact."""
        tensors = {"p_over": self.probability_over, "log_views_per_day": self.log10_views_per_day}
        write_artifact(directory, self.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path) -> "ConstantRung":
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        return cls(card, tensors["p_over"], tensors["log_views_per_day"])
