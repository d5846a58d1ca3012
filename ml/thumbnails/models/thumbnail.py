"""The rungs that see the thumbnail: alone, and on top of those that do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from ml.arrays import FloatArray
from ml.artifacts import read_artifact, write_artifact
from ml.thumbnails.data.rows import Features, Predictions
from ml.thumbnails.models.cross_fitted import RegressedRung
from ml.thumbnails.models.reference import FrozenRidgeRung
from ml.thumbnails.models.rung import Need, Rung, RungSpec, TrainingData
from ml.thumbnails.models.tabular import HistoryRung, SubscribersAgeRung, SubscribersRung
from ml.thumbnails.stacking.regression import Column

if TYPE_CHECKING:
    from ml.thumbnails.stacking.picture_model import PictureModel, PictureOutputs

OUTPUTS = 3
VIEWS, OVER, RESIDUAL = range(OUTPUTS)
"""What each source gives for a picture, by position; two sources give six columns, three nine."""


@dataclass(frozen=True)
class ThumbnailRung(RegressedRung):
    """What sees thumbnails, calibrated by a regression on its outputs, one pair a fold.

    The regressions shrink what is claimed to what held on channels never seen.

    Attributes:
        pictures: Networks, and heads where there are any.
    """

    spec: ClassVar[RungSpec] = RungSpec(
        name="thumbnail",
        knows="the picture, and nothing else",
        baseline=FrozenRidgeRung.spec.name,
        needs=frozenset({Need.THUMBNAILS}),
    )
    columns: ClassVar[tuple[Column, ...]] = ()

    pictures: "PictureModel"

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot predict without: more than pictures where a pretrained network helped."""
        heads = self.pictures.heads
        return (
            self.spec.needs
            | (frozenset() if heads is None else {Need.IMAGE_FEATURES})
            | (frozenset() if heads is None or not heads.measured else {Need.MEASUREMENTS})
            | (frozenset() if self.pictures.tuned is None else {Need.MAPS})
        )

    @classmethod
    def fit(cls, training: TrainingData) -> Self:
        """Fit the regressions for each fold on nested predictions of the other folds' rows.

        Raises:
            LearningError: There are no thumbnails, too few rows, or a loss diverges.
            LearningCancelledError: The caller wanted no more.
        """
        trained = training.pictures
        parts = cls._fit_parts(
            training,
            training.card.folds,
            lambda fold, _rows: trained.model.nested(trained.outputs, training.folds_by_row, fold),
        )
        return cls(trained.card, parts, trained.model)

    @classmethod
    def matrices(cls, known: FloatArray, picture: FloatArray) -> tuple[FloatArray, FloatArray]:  # noqa: ARG003 - this rung does without; the ones on top do not
        """Return the columns of the linear and of the logistic regression.

        Args:
            known: What is known besides the picture, (N, 2 C).
            picture: Each source's outputs for the picture, (N, 3 S).
        """
        return picture[:, VIEWS::OUTPUTS], picture[:, OVER::OUTPUTS]

    def predict(self, features: Features) -> Predictions:
        """Score videos, each with all that never saw its channel.

        Raises:
            LearningError: There are no thumbnails, or not what else it was trained with.
        """
        return self.predict_from(features, self.pictures.outputs(features, self.card))

    def predict_from(self, features: Features, outputs: "PictureOutputs") -> Predictions:
        """Score videos for whose pictures the outputs are known."""
        return self._predict(features, lambda fold, _rows: outputs.without(fold))

    def save(self, directory: Path) -> None:
        """Write the artefact; what sees thumbnails has a file of its own, shared by rungs."""
        shared = self.pictures.tensors()
        write_artifact(directory, self.spec.name, self.card, self._tensors(), shared)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        from ml.thumbnails.stacking.picture_model import PictureModel  # noqa: PLC0415 - torch, for whoever loads one

        _, card, tensors = read_artifact(directory, cls.spec.name)
        return cls(card, cls._parts_of(tensors, card), PictureModel.from_tensors(tensors, card))


class OnTopRung(ThumbnailRung):
    """What a rung without pictures knows, and the thumbnail: its regressions with more columns.

    The columns are the networks' outputs, so the difference to the rung below is the thumbnail's
    doing alone. The residual output finds an effect on top of the channel's size best; the views
    output helps where the thumbnail betrays what the other columns do not. The logistic
    regression, whose yes-or-no labels say less a row, gets the residual only.
    """

    @classmethod
    def matrices(cls, known: FloatArray, picture: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the linear and of the logistic regression."""
        residual = picture[:, RESIDUAL::OUTPUTS]
        linear = np.hstack([known, picture[:, VIEWS::OUTPUTS], residual])
        return linear, np.hstack([known, residual])


class SubscribersThumbnailRung(OnTopRung):
    """Subscribers and the thumbnail."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="subscribers+thumbnail",
        knows="subscribers and the picture",
        baseline=SubscribersRung.spec.name,
        needs=frozenset({Need.THUMBNAILS}),
        beyond="subscribers",
    )
    columns: ClassVar[tuple[Column, ...]] = SubscribersRung.columns


class SubscribersAgeThumbnailRung(OnTopRung):
    """The strong baseline and the thumbnail."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="subscribers+age+thumbnail",
        knows="subscribers, age, length, format and the picture",
        baseline=SubscribersAgeRung.spec.name,
        needs=frozenset({Need.THUMBNAILS}),
        beyond="subscribers, age and format",
    )
    columns: ClassVar[tuple[Column, ...]] = SubscribersAgeRung.columns


class HistoryThumbnailRung(OnTopRung):
    """All that is known of the video and its channel, and the thumbnail."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="+thumbnail",
        knows="what +history knows, and the picture",
        baseline=HistoryRung.spec.name,
        needs=frozenset({Need.THUMBNAILS}),
    )
    columns: ClassVar[tuple[Column, ...]] = HistoryRung.columns


def predict_all(rungs: Sequence[Rung], features: Features) -> list[Predictions]:
    """Score videos with many rungs; networks that several of them share run only once."""
    outputs: dict[str, PictureOutputs] = {}
    results = []
    for rung in rungs:
        if not isinstance(rung, ThumbnailRung):
            results.append(rung.predict(features))
            continue
        key = rung.pictures.digest
        if key not in outputs:
            outputs[key] = rung.pictures.outputs(features, rung.card)
        results.append(rung.predict_from(features, outputs[key]))
    return results
