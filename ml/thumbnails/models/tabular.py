"""The rungs that see no picture: what is known of the video and its channel."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ml.arrays import FloatArray
from ml.logistic import sigmoid
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.constant import ConstantRung
from ml.thumbnails.models.rung import CrossFittedRung, RungSpec
from ml.thumbnails.stacking.design import (
    AGE_FORMAT,
    HISTORY,
    SUBSCRIBERS,
    SUBSCRIBERS_AGE,
    Column,
    Design,
)
from ml.thumbnails.stacking.regression import fit_linear, fit_logistic, linear_predictor


@dataclass(frozen=True)
class Regressions:
    """Least squares on log views per day and logistic regression for the threshold.

    Attributes:
        medians: Stand-ins for what is unknown besides the picture, shape (C,).
        linear: Coefficients for log10(views per day + 1): the intercept, then the columns.
        logistic: Likewise for the logit of reaching the threshold.
    """

    medians: FloatArray
    linear: FloatArray
    logistic: FloatArray


class RegressedRung(CrossFittedRung[Regressions]):
    """One pair of regressions a fold, on what is known and what is read of the picture."""

    part_type: ClassVar[type[Any]] = Regressions
    columns: ClassVar[tuple[Column, ...]]

    @classmethod
    def matrices(
        cls,
        known: FloatArray,
        picture: FloatArray,  # noqa: ARG003 - for rungs that see it
    ) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the linear and of the logistic regression.

        Args:
            known: What is known besides the picture, (N, 2 C).
            picture: What is read of the picture, (N, P).
        """
        return known, known

    @classmethod
    def fit_part(
        cls,
        known: Features,
        picture: FloatArray,
        targets: Targets,
        *,
        seed: int,  # noqa: ARG003 - nothing is drawn
    ) -> Regressions:
        """Fit both regressions."""
        design = Design.fit(cls.columns, known)
        for_views, for_over = cls.matrices(design.matrix(known), picture)
        return Regressions(
            design.medians,
            fit_linear(for_views, targets.log10_views_per_day),
            fit_logistic(for_over, targets.is_over),
        )

    @classmethod
    def predict_part(cls, part: Regressions, known: Features, picture: FloatArray) -> Predictions:
        """Score rows."""
        matrix = Design(cls.columns, part.medians).matrix(known)
        for_views, for_over = cls.matrices(matrix, picture)
        return Predictions(
            sigmoid(linear_predictor(part.logistic, for_over)),
            linear_predictor(part.linear, for_views),
        )


class AgeFormatRung(RegressedRung):
    """The video itself: how old, how long, of which format."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="age+format",
        knows="how old and long the video is, and its format",
        baseline=ConstantRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = AGE_FORMAT


class SubscribersRung(RegressedRung):
    """The baseline: what the channel's size alone says about a video's views."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="subscribers",
        knows="how many subscribers the channel has",
        baseline=ConstantRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = SUBSCRIBERS


class SubscribersAgeRung(RegressedRung):
    """The strong baseline: the channel's size and the video's age, length and format."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="subscribers+age",
        knows="subscribers, age, length and format",
        baseline=SubscribersRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = SUBSCRIBERS_AGE


class HistoryRung(RegressedRung):
    """The strong baseline and what the channel's earlier videos got."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="+history",
        knows="that, and what the channel’s earlier videos got",
        baseline=SubscribersAgeRung.spec.name,
    )
    columns: ClassVar[tuple[Column, ...]] = (*SUBSCRIBERS_AGE, *HISTORY)
