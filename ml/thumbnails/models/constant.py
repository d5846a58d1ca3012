"""The rung that knows nothing: the training folds' share over the threshold and mean log views."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ml.arrays import FloatArray
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.cross_fitted import CrossFittedRung
from ml.thumbnails.models.rung import Role, RungSpec


@dataclass(frozen=True)
class Means:
    """The share of rows over the threshold and their mean log10(views per day + 1)."""

    probability_over: float = field(metadata={"stored": "p_over"})
    log10_views_per_day: float = field(metadata={"stored": "log_views_per_day"})


class ConstantRung(CrossFittedRung[Means]):
    """One pair of constants a fold."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="constant", knows="nothing: every video gets the average", role=Role.FLOOR
    )
    part_type: ClassVar[type[Any]] = Means

    @classmethod
    def fit_part(
        cls,
        known: Features,  # noqa: ARG003 - it knows nothing
        picture: FloatArray,  # noqa: ARG003
        targets: Targets,
        *,
        seed: int,  # noqa: ARG003
    ) -> Means:
        """Take the means."""
        return Means(targets.is_over.mean(), targets.log10_views_per_day.mean())

    @classmethod
    def predict_part(
        cls,
        part: Means,
        known: Features,
        picture: FloatArray,  # noqa: ARG003
    ) -> Predictions:
        """Return the means for every row."""
        rows = len(known)
        return Predictions(
            np.full(rows, part.probability_over), np.full(rows, part.log10_views_per_day)
        )
