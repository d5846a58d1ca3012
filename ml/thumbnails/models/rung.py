"""What a rung of the ladder is: how it declares itself, what it learns from, what it can do."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from ml.arrays import IntArray
from ml.artifacts import ModelCard
from ml.errors import LearningError
from ml.thumbnails.data.rows import Features, Predictions, Targets

if TYPE_CHECKING:
    # Torch comes with it, which half of the rungs do without.
    from ml.thumbnails.stacking.picture_model import PictureModel, PictureOutputs


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


def need_image_features(rungs: Iterable[Rung]) -> bool:
    """Tell whether one of some trained rungs needs ``Features.image_features``."""
    return any(rung.needs & {Need.IMAGE_FEATURES, Need.MEASUREMENTS} for rung in rungs)


def need_measurements(rungs: Iterable[Rung]) -> bool:
    """Tell whether these must hold measurements: one of the rungs looks at some."""
    return any(Need.MEASUREMENTS in rung.needs for rung in rungs)


def need_maps(rungs: Iterable[Rung]) -> bool:
    """Tell whether these must hold maps: one of the rungs was fine-tuned."""
    return any(Need.MAPS in rung.needs for rung in rungs)
