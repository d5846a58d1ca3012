"""Rungs of one model a fold, fitted without it: of any kind, and of two regressions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.evaluation.splits import NO_FOLD, folds_of, rows_outside, rows_scored_without
from ml.logistic import sigmoid
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.rung import Need, RungSpec, TrainingData
from ml.thumbnails.stacking.regression import (
    Column,
    Design,
    fit_linear,
    fit_logistic,
    linear_predictor,
)

Part = TypeVar("Part")


@dataclass(frozen=True)
class CrossFittedRung(ABC, Generic[Part]):
    """A rung of K models of the same kind, stored as arrays with the fold first.

    A kind of rung says what it reads of a picture (:meth:`picture_columns`) and how one fold's
    model is fitted and predicts; which rows each fold learns from and scores is decided here.

    Attributes:
        card: Where the model comes from.
        parts: One model a fold: dataclasses of ``part_type``, whose fields are numbers and arrays.
    """

    spec: ClassVar[RungSpec]
    part_type: ClassVar[type[Any]]

    card: ModelCard
    parts: tuple[Part, ...]

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot predict without."""
        return self.spec.needs

    @classmethod
    def fit(cls, training: TrainingData) -> Self:
        """Fit a model for each fold on the rows outside it.

        Raises:
            LearningError: Something that it needs is missing.
        """
        card = training.card
        if cls.spec.sees_thumbnails and training.image_card is not None:
            card = training.image_card
        columns = cls._columns(training.features, card)
        return cls(card, cls._fit_parts(training, card.folds, lambda _fold, rows: columns[rows]))

    @classmethod
    @abstractmethod
    def fit_part(cls, known: Features, picture: FloatArray, targets: Targets, *, seed: int) -> Part:
        """Fit the model of one fold.

        Args:
            known: What is known besides the picture, of R rows outside the fold.
            picture: What it reads of their pictures, (R, P).
            targets: Of the same rows.
            seed: Decides what is drawn, such as inner folds.
        """

    @classmethod
    @abstractmethod
    def predict_part(cls, part: Part, known: Features, picture: FloatArray) -> Predictions:
        """Score rows with the model of one fold; the arguments are those of :meth:`fit_part`."""

    @classmethod
    def picture_columns(cls, features: Features) -> FloatArray:
        """Return what it reads of the pictures of N rows, (N, P); nothing unless overridden.

        Raises:
            LearningError: They are not known.
        """
        return np.empty((len(features), 0))

    def predict(self, features: Features) -> Predictions:
        """Score videos, each with the model that never saw its channel, or the mean of all.

        Raises:
            LearningError: Something that it needs is missing.
        """
        if Need.MEASUREMENTS in self.needs:
            features.check_measured(self.card)
        columns = self._columns(features, self.card)
        return self._predict(features, lambda _fold, rows: columns[rows])

    def with_metrics(self, metrics: Mapping[str, object]) -> Self:
        """Return the same model with an evaluation on its card."""
        return replace(self, card=replace(self.card, metrics=metrics))

    def save(self, directory: Path) -> None:
        """Write the artefact."""
        write_artifact(directory, self.spec.name, self.card, self._tensors())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.spec.name)
        return cls(card, cls._parts_of(tensors, card))

    @classmethod
    def _fit_parts(
        cls,
        training: TrainingData,
        folds: int,
        columns_of: Callable[[int, IntArray], FloatArray],
    ) -> tuple[Part, ...]:
        """Fit on the rows outside each fold, given their picture columns by fold and rows."""
        known = training.features.without_pictures()
        parts = []
        for fold in range(folds):
            rows = rows_outside(training.folds_by_row, fold)
            part = cls.fit_part(
                known.take(rows),
                columns_of(fold, rows),
                training.targets.take(rows),
                seed=training.card.seed,
            )
            parts.append(part)
        return tuple(parts)

    def _predict(
        self, features: Features, columns_of: Callable[[int, IntArray], FloatArray]
    ) -> Predictions:
        """Score rows, given their picture columns by fold and rows, as in fitting."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        known = features.without_pictures()
        total = Predictions(np.zeros(len(features)), np.zeros(len(features)))
        for fold, part in enumerate(self.parts):
            rows = rows_scored_without(folds_by_row, (fold,))
            found = self.predict_part(part, known.take(rows), columns_of(fold, rows))
            total.probability_over[rows] += found.probability_over
            total.log10_views_per_day[rows] += found.log10_views_per_day
        models = np.where(folds_by_row == NO_FOLD, len(self.parts), 1)
        return Predictions(total.probability_over / models, total.log10_views_per_day / models)

    @classmethod
    def _columns(cls, features: Features, card: ModelCard) -> FloatArray:
        if Need.IMAGE_FEATURES in cls.spec.needs:
            features.image_features_for(card)
        return cls.picture_columns(features)

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {
            stored: np.array([getattr(part, name) for part in self.parts])
            for name, stored in _stored_names(self.part_type).items()
        }

    @classmethod
    def _parts_of(
        cls, tensors: Mapping[str, npt.NDArray[Any]], card: ModelCard
    ) -> tuple[Part, ...]:
        names = _stored_names(cls.part_type)
        return tuple(
            cls.part_type(**{name: tensors[stored][fold] for name, stored in names.items()})
            for fold in range(card.folds)
        )


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


def _stored_names(part_type: type[Any]) -> dict[str, str]:
    """Return the name under which each field of a part is stored: its own unless it says so."""
    return {each.name: each.metadata.get("stored", each.name) for each in fields(part_type)}
