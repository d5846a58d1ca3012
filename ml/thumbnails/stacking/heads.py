"""Heads on frozen looks, one a fold: what a pretrained network and measurements say of thumbnails.

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

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningCancelledError
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside
from ml.thumbnails.stacking.head import HeadOutputs, ThumbnailHead
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
        image_features: ImageFeatures,
        log_views: FloatArray,
        is_over: BoolArray,
        residuals: Sequence[FloatArray],
        groups: Sequence[str],
        folds_by_row: IntArray,
        *,
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Self:
        """Fit a head for each fold on the other folds' rows.

        Args:
            image_features: Of N thumbnails.
            log_views: log10(views per day + 1), (N,).
            is_over: Whether the threshold was reached, (N,).
            residuals: For each fold, what a regression without the thumbnail leaves of
                ``log_views`` in the rows outside it, in their order; NaN where unknown.
            groups: Each row's split group, left out as a whole when choosing.
            folds_by_row: (N,).
            seed: Decides the inner folds.
            progress: Told after each fold.
            cancelled: Asked before each fold.

        Raises:
            LearningError: Too few rows or channels.
            LearningCancelledError: ``cancelled`` said so.
        """
        heads: list[ThumbnailHead] = []
        for fold, residual in enumerate(residuals):
            if cancelled():
                raise LearningCancelledError
            rows = rows_outside(folds_by_row, fold)
            head = ThumbnailHead.fit(
                image_features.take(rows),
                log_views[rows],
                is_over[rows],
                residual,
                [groups[row] for row in rows],
                seed=seed,
            )
            heads.append(head)
            progress(fold + 1, len(residuals), "fitting heads on frozen looks")
        return cls(heads)

    def nested(self, fold: int) -> FloatArray:
        """Return (R, 3): for the rows outside a fold what a model without their channel says."""
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
