"""The interface that every rung of the ladder has, so that scoring need not know which it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np

from ml.arrays import BoolArray, FloatArray, ImageArray, IntArray
from ml.artifacts import ModelCard


@dataclass(frozen=True)
class Features:
    """What is known about N videos before their views.

    Attributes:
        split_groups: N split groups (:mod:`ml.splits`), for most videos the channel's id; they
            decide which fold's model scores a row.
        subscriber_count: Shape (N,), NaN where hidden.
        thumbnails: Shape (N, 90, 160, 3) RGB, or None for rungs that do not look.
    """

    split_groups: Sequence[str]
    subscriber_count: FloatArray
    thumbnails: ImageArray | None = None

    def __len__(self) -> int:
        return len(self.split_groups)

    def take(self, rows: IntArray) -> "Features":
        """Return the given rows."""
        return Features(
            [self.split_groups[row] for row in rows],
            self.subscriber_count[rows],
            None if self.thumbnails is None else self.thumbnails[rows],
        )


@dataclass(frozen=True)
class Targets:
    """What came of N videos: log10(views per day + 1) and whether the threshold was reached."""

    log_views_per_day: FloatArray
    is_over: BoolArray

    def take(self, rows: IntArray) -> "Targets":
        """Return the given rows."""
        return Targets(self.log_views_per_day[rows], self.is_over[rows])


@dataclass(frozen=True)
class Predictions:
    """For N videos: P(views per day ≥ threshold) and the expected log10(views per day + 1)."""

    p_over: FloatArray
    log_views_per_day: FloatArray

    @classmethod
    def empty(cls, rows: int) -> "Predictions":
        """Return room for ``rows`` predictions, NaN until filled."""
        return cls(np.full(rows, np.nan), np.full(rows, np.nan))

    def put(self, rows: IntArray, part: "Predictions") -> None:
        """Fill in the predictions of some rows."""
        self.p_over[rows] = part.p_over
        self.log_views_per_day[rows] = part.log_views_per_day


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
