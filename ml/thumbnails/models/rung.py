"""What a rung of the ladder is: how it declares itself, what it learns from, what it can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.errors import LearningError
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside

if TYPE_CHECKING:
    # Torch comes with it, which half of the rungs do without.
    from ml.thumbnails.stacking.picture_model import PictureModel, PictureOutputs

Part = TypeVar("Part")


class Need(Enum):
    """What a rung cannot be trained without, or a trained one cannot predict without."""

    THUMBNAILS = "thumbnails"
    """Decoded pictures, for networks."""
    IMAGE_FEATURES = "image features"
    """A pretrained network's embeddings of them."""
    MEASUREMENTS = "measurements"
    """Interpretable numbers about them."""
    MAPS = "maps"
    """The frozen stages' maps of them, where a network was fine-tuned."""


class Role(Enum):
    """What a rung is there for."""

    FLOOR = "floor"
    """It knows nothing: what any other has to beat."""
    RUNG = "rung"
    """It may become champion."""
    REFERENCE = "reference"
    """A plain method beside the ladder, there to be beaten and not to be used."""


@dataclass(frozen=True)
class RungSpec:
    """What a rung declares of itself; its place in the ladder is its line in the registry.

    Attributes:
        name: In the database, the CLI and every table.
        knows: What it knows of a video, in a few words for the report.
        baseline: The rung that it is compared with: the one that knows the same but for one thing.
        needs: What it cannot be trained without.
        role: What it is there for.
        beyond: For a rung whose difference to its baseline is what the finding is about: what that
            baseline knows, in the words of the finding.
    """

    name: str
    knows: str
    baseline: str | None = None
    needs: frozenset[Need] = frozenset()
    role: Role = Role.RUNG
    beyond: str | None = None

    @property
    def sees_thumbnails(self) -> bool:
        """Whether anything of the picture reaches it."""
        return bool(self.needs)


@dataclass(frozen=True)
class TrainedPictures:
    """What sees thumbnails, fitted for one training.

    Attributes:
        model: Networks, and heads where there are any.
        outputs: What it makes of the training rows.
        card: Where a rung on top of it comes from.
    """

    model: "PictureModel"
    outputs: "PictureOutputs"
    card: ModelCard


def _no_pictures() -> TrainedPictures:
    raise LearningError("the thumbnail rungs need thumbnails", reason="noThumbnails")


@dataclass(frozen=True)
class TrainingData:
    """What every rung is fitted on.

    Attributes:
        features: Of N rows.
        targets: Of the same rows.
        folds_by_row: Shape (N,).
        card: Where the models come from.
        image_card: The same for rungs that learn from image features; None: ``card``.
        train_pictures: Trains what sees thumbnails; called once, when the first rung wants it.
    """

    features: Features
    targets: Targets
    folds_by_row: IntArray
    card: ModelCard
    image_card: ModelCard | None = None
    train_pictures: Callable[[], TrainedPictures] = _no_pictures

    @cached_property
    def pictures(self) -> TrainedPictures:
        """What sees thumbnails, the same for all rungs.

        Raises:
            LearningError: There are no thumbnails, too few rows, or a loss diverges.
            LearningCancelledError: The caller wanted no more.
        """
        return self.train_pictures()


class Rung(Protocol):
    """A trained model of the ladder.

    Every rung consists of one model per fold, each fitted without that fold's channels, and scores
    a video with the model that never saw its channel. Predictions on the training rows are
    therefore the out-of-fold predictions.
    """

    spec: ClassVar[RungSpec]

    @property
    def card(self) -> ModelCard:
        """Where the model comes from."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """What it cannot predict without."""
        ...

    @classmethod
    def fit(cls, training: TrainingData) -> Self:
        """Learn.

        Raises:
            LearningError: Something that it needs is missing, or nothing can be learned.
        """
        ...

    def predict(self, features: Features) -> Predictions:
        """Score videos.

        Raises:
            LearningError: Something that it needs is missing.
        """
        ...

    def with_metrics(self, metrics: Mapping[str, object]) -> Self:
        """Return the same model with an evaluation on its card."""
        ...

    def save(self, directory: Path) -> None:
        """Write the artefact: ``model.safetensors`` and ``model.json``."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back.

        Raises:
            LearningError: It is missing, damaged or of another rung.
        """
        ...


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
        """Score videos, each with the model that never saw its channel.

        Raises:
            LearningError: Something that it needs is missing.
        """
        return self._predict(features, self._columns(features, self.card))

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

    def _predict(self, features: Features, picture: FloatArray) -> Predictions:
        """Score rows whose picture columns (N, P) are known."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        known = features.without_pictures()
        result = Predictions.empty(len(features))
        for fold, part in enumerate(self.parts):
            rows = rows_inside(folds_by_row, fold)
            result.put(rows, self.predict_part(part, known.take(rows), picture[rows]))
        return result

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


def need_image_features(rungs: Iterable[Rung]) -> bool:
    """Tell whether one of some trained rungs needs ``Features.image_features``."""
    return any(rung.needs & {Need.IMAGE_FEATURES, Need.MEASUREMENTS} for rung in rungs)


def need_maps(rungs: Iterable[Rung]) -> bool:
    """Tell whether these must hold maps: one of the rungs was fine-tuned."""
    return any(Need.MAPS in rung.needs for rung in rungs)


def _stored_names(part_type: type[Any]) -> dict[str, str]:
    """Return the name under which each field of a part is stored: its own unless it says so."""
    return {each.name: each.metadata.get("stored", each.name) for each in fields(part_type)}
