"""The interface that every rung of the ladder has, so that scoring need not know which it is."""

from pathlib import Path
from typing import ClassVar, Protocol, Self

from ml.artifacts import ModelCard
from ml.thumbnails.data.rows import Features, Predictions


class Rung(Protocol):
    """A trained model of the ladder.

    Every rung consists of one model per fold, each fitted without that fold's channels, and scores
    a video with the model that never saw its channel. Predictions on the training rows are
    therefore the out-of-fold predictions.
    """

    name: ClassVar[str]
    needs_thumbnails: ClassVar[bool]

    @property
    def card(self) -> ModelCard:
        """Where the model comes from."""
        ...

    def predict(self, features: Features) -> Predictions:
        """Score videos."""
        ...

    def save(self, directory: Path) -> None:
        """Write the artefact: ``model.safetensors`` and ``model.json``."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        ...
