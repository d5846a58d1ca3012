"""Heads on frozen image features, one a fold.

A head chooses its kernel and its ridge by folds of channels among its own training rows and keeps
what it predicted there for channels left out (:mod:`ml.thumbnails.stacking.head`). So the
regression on top of a fold is fitted on outputs that saw neither the fold nor the row's channel, as
with the networks trained from scratch (docs/decisions/0003), with K heads instead of K (K - 1) / 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.errors import LearningCancelledError
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside
from ml.thumbnails.stacking.head import HeadOutputs, ThumbnailHead
from ml.thumbnails.stacking.residual import beyond_the_rest
from ml.training.callbacks import Cancelled, Progress

RecipeNames = Mapping[str, str]
"""The name of the kernel that was chosen, by target."""


@dataclass(frozen=True)
class Heads:
    """One head a fold, fitted without it."""

    heads: Sequence[ThumbnailHead]

    @classmethod
    def fit(
        cls,
        features: Features,
        targets: Targets,
        folds_by_row: IntArray,
        *,
        folds: int,
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Self:
        """Fit a head for each fold on the other folds' rows.

        Args:
            features: Of N rows, with image features.
            targets: Of the same rows.
            folds_by_row: (N,).
            folds: K.
            seed: Decides the inner folds.
            progress: Told after each fold.
            cancelled: Asked before each fold.

        Raises:
            LearningError: Too few rows or channels.
            LearningCancelledError: ``cancelled`` said so.
        """
        assert features.image_features is not None
        known = features.without_pictures()
        heads: list[ThumbnailHead] = []
        for fold in range(folds):
            if cancelled():
                raise LearningCancelledError
            rows = rows_outside(folds_by_row, fold)
            outside, part = known.take(rows), targets.take(rows)
            head = ThumbnailHead.fit(
                features.image_features.take(rows),
                part.log10_views_per_day,
                part.is_over,
                beyond_the_rest(outside, part.log10_views_per_day),
                outside.split_groups,
                seed=seed,
            )
            heads.append(head)
            progress(fold + 1, folds, "fitting heads on frozen features")
        return cls(heads)

    def nested(self, fold: int) -> FloatArray:
        """Return (R, 3): for the rows outside a fold what a model without their channel gives."""
        return columns_of(self.heads[fold].inner)

    def outputs(self, image_features: ImageFeatures, folds_by_row: IntArray) -> FloatArray:
        """Return (N, 3): each row by the head that never saw its fold."""
        result: FloatArray = np.full((len(image_features), 3), np.nan)
        for fold, head in enumerate(self.heads):
            rows = rows_inside(folds_by_row, fold)
            if len(rows):
                result[rows] = columns_of(head.predict(image_features.take(rows)))
        return result

    @property
    def recipe_names(self) -> list[dict[str, str]]:
        """The kernels that were chosen, fold by fold."""
        return [{target: c[0] for target, c in head.chosen.items()} for head in self.heads]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all numbers as arrays by name, such as ``head.0.over.slopes``."""
        return {
            f"head.{fold}.{key}": values
            for fold, head in enumerate(self.heads)
            for key, values in head.tensors().items()
        }

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], recipes: Sequence[RecipeNames]
    ) -> Self:
        """Build heads from :meth:`tensors` and :attr:`recipe_names`."""
        heads = []
        for fold, names in enumerate(recipes):
            prefix = f"head.{fold}."
            mine = {
                key.removeprefix(prefix): values
                for key, values in tensors.items()
                if key.startswith(prefix)
            }
            heads.append(ThumbnailHead.from_tensors(mine, names))
        return cls(heads)


def columns_of(outputs: HeadOutputs) -> FloatArray:
    """Return log views, the logit of reaching the threshold and the residual, (N, 3)."""
    p = np.clip(outputs.probability_over, 1e-6, 1 - 1e-6)
    return np.column_stack([outputs.log_views, np.log(p / (1 - p)), outputs.residual])
