"""Invented catalogues, and the headline's two rungs learned and judged as those of real ones are.

A picture is a few numbers. What networks would say of it comes from ridge regressions, cross-fitted
in the same pairs of folds; all that stands on top of that is the ladder's own.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard
from ml.evaluation.bootstrap import Interval
from ml.evaluation.splits import assign_folds, fold_pairs, folds_of, training_rows
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.dataset import Dataset, DatasetDescription
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.models.ladder import OUT_OF_FOLD_SCHEMA
from ml.thumbnails.models.rung import TrainedPictures, TrainingData
from ml.thumbnails.models.tabular import SubscribersAgeRung
from ml.thumbnails.models.thumbnail import SubscribersAgeThumbnailRung
from ml.thumbnails.stacking.ensemble import Ensemble
from ml.thumbnails.stacking.picture_model import PictureModel, PictureOutputs
from ml.thumbnails.stacking.regression import beyond_the_rest, fit_logistic, linear_predictor

NUMBERS = 8
"""That stand for a picture; the first may matter, the second betrays the channel's size."""
RIDGE = 20.0
FOLDS = 4
THRESHOLD = 100.0
RESAMPLES = 1000
CHANNEL_SPREAD, VIDEO_SPREAD = 0.5, 0.4
"""Of log10 views/day beyond the channel's size: usual for the channel, and of one video."""


@dataclass(frozen=True)
class World:
    """What catalogues are drawn from."""

    channels: int
    videos: int
    effect: float


@dataclass(frozen=True)
class Catalogue:
    """N videos: what is known of them, the numbers of their pictures (N, F), and what came."""

    features: Features
    pictures: FloatArray
    log_views: FloatArray


def draw(world: World, generator: np.random.Generator, *, prefix: str) -> Catalogue:
    """Draw the videos of a world. Half of what pictures vary in is their channel's own look."""
    channel = np.repeat(np.arange(world.channels), world.videos)
    rows = len(channel)
    size, usual = generator.normal(size=(2, world.channels))[:, channel]
    look = generator.normal(size=(world.channels, NUMBERS))[channel]
    pictures = math.sqrt(0.5) * (look + generator.normal(size=(rows, NUMBERS)))
    pictures[:, 1] = 0.6 * size + 0.8 * pictures[:, 1]
    log_age = generator.uniform(0.5, 2.6, rows)
    log_views = (
        2.6 + 0.7 * size - 0.15 * (log_age - 1.5) + CHANNEL_SPREAD * usual
        + VIDEO_SPREAD * generator.normal(size=rows) + world.effect * pictures[:, 0]
    )  # fmt: skip
    features = Features(
        [f"{prefix}{number:06d}" for number in channel],
        np.floor(10 ** (4 + size)),
        numbers={"age_days": 10**log_age},
    )
    return Catalogue(features, pictures, np.maximum(log_views, 0.0))


@dataclass(frozen=True)
class Learned:
    """The two rungs of the headline, learned from a catalogue as the ladder learns them."""

    card: ModelCard
    members: dict[tuple[int, int], list[FloatArray]]
    without: SubscribersAgeRung
    with_picture: SubscribersAgeThumbnailRung

    @classmethod
    def of(cls, catalogue: Catalogue, seed: int) -> "Learned":
        """Learn, cross-fitted by channel in pairs of folds."""
        features = catalogue.features
        targets = Targets(catalogue.log_views, catalogue.log_views >= math.log10(THRESHOLD + 1))
        folds = assign_folds(features.split_groups, seed=seed, folds=FOLDS)
        card = ModelCard(dataset="invented", seed=seed, folds=FOLDS, threshold=THRESHOLD)
        members = {
            pair: _member(catalogue, targets, training_rows(folds, pair))
            for pair in fold_pairs(FOLDS)
        }
        training = TrainingData(
            features,
            targets,
            folds,
            card,
            train_pictures=lambda: TrainedPictures(unused, outputs, card),
        )
        without = SubscribersAgeRung.fit(training)
        # In place of networks there is what they would have given.
        unused = PictureModel(Ensemble(FOLDS, CnnConfig(), {}, {}))
        outputs = _outputs(members, catalogue, folds)
        with_picture = SubscribersAgeThumbnailRung.fit(training)
        return cls(card, members, without, with_picture)

    def predict(self, catalogue: Catalogue) -> tuple[Predictions, Predictions]:
        """Predict without the picture and with it, each video by models of other channels."""
        features = catalogue.features
        folds = folds_of(features.split_groups, seed=self.card.seed, folds=FOLDS)
        outputs = _outputs(self.members, catalogue, folds)
        return self.without.predict(features), self.with_picture.predict_from(features, outputs)

    def interval(self, catalogue: Catalogue, seed: int) -> Interval:
        """Return the headline of the evaluation."""
        dataset = _dataset(catalogue)
        folds = folds_of(catalogue.features.split_groups, seed=self.card.seed, folds=FOLDS)
        names = (SubscribersAgeRung.spec.name, SubscribersAgeThumbnailRung.spec.name)
        out_of_fold = pa.concat_tables(
            pa.table(
                [
                    pa.array([name] * len(dataset)),
                    dataset.table["video_id"],
                    pa.array(folds),
                    pa.array(predicted.probability_over),
                    pa.array(predicted.log10_views_per_day),
                ],
                schema=OUT_OF_FOLD_SCHEMA,
            )
            for name, predicted in zip(names, self.predict(catalogue), strict=True)
        )
        found = evaluate(dataset, out_of_fold, resamples=RESAMPLES, seed=seed)
        return found.headline.delta_r2


def _member(catalogue: Catalogue, targets: Targets, rows: IntArray) -> list[FloatArray]:
    """Learn what a network would give: log views, the logit of the threshold, the residual."""
    pictures, part = catalogue.pictures[rows], targets.take(rows)
    residual = beyond_the_rest(catalogue.features.take(rows), part.log10_views_per_day)
    return [
        _ridge(pictures, part.log10_views_per_day),
        fit_logistic(pictures, part.is_over),
        _ridge(pictures, residual),
    ]


def _ridge(columns: FloatArray, target: FloatArray) -> FloatArray:
    centre = columns.mean(axis=0)
    centred = columns - centre
    gram = centred.T @ centred + RIDGE * np.eye(columns.shape[1])
    slopes = np.linalg.solve(gram, centred.T @ (target - target.mean()))
    coefficients: FloatArray = np.r_[target.mean() - centre @ slopes, slopes]
    return coefficients


def _outputs(
    members: dict[tuple[int, int], list[FloatArray]], catalogue: Catalogue, folds: IntArray
) -> PictureOutputs:
    outputs = {}
    for pair, member in members.items():
        rows = np.flatnonzero(np.isin(folds, pair))
        columns = [linear_predictor(each, catalogue.pictures[rows]) for each in member]
        outputs[pair] = rows, np.column_stack(columns)
    return PictureOutputs(FOLDS, folds, outputs)


def _dataset(catalogue: Catalogue) -> Dataset:
    """Return the catalogue in the form that the evaluation reads."""
    features, rows = catalogue.features, len(catalogue.log_views)
    is_over = catalogue.log_views >= math.log10(THRESHOLD + 1)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    age_us = (features.numbers["age_days"] * 86_400e6).astype(np.int64)
    published = pa.array(int(now.timestamp() * 1e6) - age_us).cast(pa.timestamp("us", tz="UTC"))
    unknown = pa.nulls(rows, pa.float64())
    columns = {
        "video_id": [f"{row:08d}" for row in range(rows)],
        "channel_id": list(features.split_groups),
        "split_group": list(features.split_groups),
        "published_at": published,
        "format": pa.nulls(rows, pa.string()),
        "subscriber_count": features.subscriber_count,
        "subscriber_count_high": features.subscriber_count,
        "age_days": features.numbers["age_days"],
        "duration_s": unknown,
        "channel_age_days": unknown,
        "n_earlier_videos": unknown,
        "earlier_log_views_per_day": unknown,
        "days_since_last_upload": unknown,
        "views_per_day": 10**catalogue.log_views - 1,
        "is_over": is_over,
    }
    description = DatasetDescription(
        id="invented",
        schema_version=0,
        as_of=now,
        threshold=THRESHOLD,
        n_videos=rows,
        n_channels=len(set(features.split_groups)),
        n_thumbnails=rows,
        base_rate=float(is_over.mean()),
        files={},
        params={},
    )
    return Dataset(description, pa.table(columns), Path())
