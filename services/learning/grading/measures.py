"""What can be measured on a picture, beside comparable thumbnails, and what goes with views."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from db.queries.catalog.comparable import Shown
from ml.arrays import FloatArray
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap
from ml.evaluation.metrics import spearman
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.features.catalogue import FEATURES, Feature

MIN_CHANNELS = 8
"""Below, resampling channels tells too little for an interval."""
RESAMPLES = 4000


@dataclass(frozen=True)
class Measurement:
    """One measurement of a picture.

    Attributes:
        feature: What was measured.
        value: In its unit.
        percentile: How many percent of comparable thumbnails have less, ties counted half; None
            for an angle, or without comparable ones.
        association: Spearman's correlation with views within channels, if its interval, over all
            measurements together, leaves zero; else None.
    """

    feature: Feature
    value: float
    percentile: float | None
    association: Interval | None

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "name": self.feature.name,
            "title": self.feature.title,
            "unit": self.feature.unit,
            "description": self.feature.description,
            "value": self.value,
            "percentile": self.percentile,
            "association": None if self.association is None else self.association.as_json(),
        }


def measurements(
    values: FloatArray, others: FloatArray, associations: Sequence[Interval | None]
) -> list[Measurement]:
    """Set a picture's measurements (F,) beside those of N comparable ones, (N, F)."""
    return [
        Measurement(
            feature,
            float(value),
            None if feature.circular else _percentile(float(value), others[:, position]),
            associations[position],
        )
        for position, (feature, value) in enumerate(zip(FEATURES, values, strict=True))
    ]


def associations(
    dataset: Dataset, videos: Sequence[Shown], measured: FloatArray, *, seed: int
) -> list[Interval | None]:
    """Return, by measurement, how it goes with views within channels; None where not shown.

    Views and measurements are each taken off their channel's mean, and views off what the video's
    age explains: what is left is not the channel's size or style. The intervals resample channels
    and hold for all measurements together (Bonferroni).

    Args:
        dataset: Knows the views, by video and thumbnail.
        videos: N videos.
        measured: Their measurements, (N, F).
        seed: Makes the resamples repeatable.
    """
    nothing: list[Interval | None] = [None] * len(FEATURES)
    labels = _labels(dataset)
    rows = [row for row, v in enumerate(videos) if (v.video_id, v.thumbnail_sha256) in labels]
    channels = [videos[row].channel_id for row in rows]
    if len(set(channels)) < MIN_CHANNELS:
        return nothing
    known = np.array([labels[videos[r].video_id, videos[r].thumbnail_sha256] for r in rows])
    centred = _off_channel(np.column_stack([known, measured[rows]]), channels)
    views, age, parts = centred[:, 0], centred[:, 1], centred[:, 2:]
    spread = float(age @ age)
    left = views - age * (float(age @ views) / spread if spread > 0 else 0.0)
    metrics: dict[str, Metric] = {
        feature.name: _correlation(left, parts[:, position])
        for position, feature in enumerate(FEATURES)
        if not feature.circular
    }
    found = cluster_bootstrap(
        metrics, channels, resamples=RESAMPLES, seed=seed, level=1 - 0.05 / len(metrics)
    )
    shown = {name: each for name, each in found.items() if each.low > 0 or each.high < 0}
    return [shown.get(feature.name) for feature in FEATURES]


def _correlation(views: FloatArray, part: FloatArray) -> Metric:
    return lambda weights: spearman(views, part, weights=weights)


def _labels(dataset: Dataset) -> dict[tuple[str, str | None], tuple[float, float]]:
    """Return (log10 views a day, log10 age) by video and thumbnail."""
    ages = np.log10(np.maximum(np.nan_to_num(dataset.numbers("age_days"), nan=1.0), 1.0))
    keys = zip(dataset.strings("video_id"), dataset.strings("thumbnail_sha256"), strict=True)
    values = zip(dataset.log10_views_per_day.tolist(), ages.tolist(), strict=True)
    return dict(zip(keys, values, strict=True))


def _off_channel(values: FloatArray, channels: Sequence[str]) -> FloatArray:
    """Return values (N, C) less their channel's mean."""
    _, of = np.unique(np.asarray(channels), return_inverse=True)
    sums = np.zeros((int(of.max()) + 1, values.shape[1]))
    np.add.at(sums, of, values)
    result: FloatArray = values - (sums / np.bincount(of)[:, None])[of]
    return result


def _percentile(value: float, others: FloatArray) -> float | None:
    if len(others) == 0:
        return None
    return float(100 * ((others < value) + 0.5 * (others == value)).mean())
