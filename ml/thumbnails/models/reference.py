"""The plain method that what we do with thumbnails has to beat: frozen features and a ridge."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ml.arrays import FloatArray
from ml.logistic import sigmoid
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.cross_fitted import CrossFittedRung
from ml.thumbnails.models.rung import Need, Role, RungSpec
from ml.thumbnails.stacking.regression import fit_logistic, linear_predictor
from ml.thumbnails.stacking.ridge import Decomposition, inner_folds, left_out_in_turn

_SMALLEST_SCALE = 1e-6
"""A feature that never varies is left at 0."""
PENALTIES = tuple(float(penalty) for penalty in 10.0 ** np.arange(0, 7.01, 0.5))


@dataclass(frozen=True)
class FrozenRidge:
    """The regressions of one fold.

    Attributes:
        centres: Of the 1,280 features, shape (1280,).
        scales: Their standard deviations, (1280,).
        linear: Intercept and slopes of the standardised features, (1 + 1280,).
        logistic: Intercept and slope of what is predicted, (2,).
        penalties: What was chosen.
    """

    centres: FloatArray
    scales: FloatArray
    linear: FloatArray
    logistic: FloatArray
    penalties: float


class FrozenRidgeRung(CrossFittedRung[FrozenRidge]):
    """EfficientNet-Lite0's last layer, standardised, and ridge regression on log views per day.

    The penalty is chosen by left-out split groups among the training rows; what was predicted for
    them there is what the logistic regression for the threshold is fitted on.
    """

    spec: ClassVar[RungSpec] = RungSpec(
        name="lite0+ridge",
        knows="the picture, by the plain method: a reference",
        needs=frozenset({Need.IMAGE_FEATURES}),
        role=Role.REFERENCE,
    )
    part_type: ClassVar[type[Any]] = FrozenRidge

    @classmethod
    def picture_columns(cls, features: Features) -> FloatArray:
        """Return the pretrained network's last layer, (N, 1280)."""
        assert features.image_features is not None
        return features.image_features.last_layer()

    @classmethod
    def fit_part(
        cls, known: Features, picture: FloatArray, targets: Targets, *, seed: int
    ) -> FrozenRidge:
        """Choose the penalty by left-out split groups and fit on all rows with it."""
        centres, scales = picture.mean(axis=0), picture.std(axis=0) + _SMALLEST_SCALE
        standard = (picture - centres) / scales
        truth = targets.log10_views_per_day
        outside = np.empty((len(PENALTIES), len(picture)))
        for learning, left_out in left_out_in_turn(inner_folds(known.groups_in_folds, seed=seed)):
            centre = standard[learning].mean(axis=0)
            part = Decomposition(standard[learning] - centre)
            intercept, slopes = part.ridge(truth[learning], PENALTIES)
            outside[:, left_out] = intercept + slopes @ (standard[left_out] - centre).T
        choice = int(((outside - truth) ** 2).mean(axis=1).argmin())
        intercept, slopes = Decomposition(standard).ridge(truth, PENALTIES)
        logistic = fit_logistic(outside[choice][:, None], targets.is_over)
        linear = np.r_[intercept, slopes[choice]]
        return FrozenRidge(centres, scales, linear, logistic, PENALTIES[choice])

    @classmethod
    def predict_part(
        cls,
        part: FrozenRidge,
        known: Features,  # noqa: ARG003 - the picture is all it knows
        picture: FloatArray,
    ) -> Predictions:
        """Score rows."""
        log_views = linear_predictor(part.linear, (picture - part.centres) / part.scales)
        return Predictions(sigmoid(linear_predictor(part.logistic, log_views[:, None])), log_views)
