"""The comparison by size of the channel, age of the video and format.

A model may be good for all and useless for the few that one asks about. Slices are described, not
tested: of a dozen intervals one or the other leaves zero by chance.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, cluster_bootstrap, over_trainings
from ml.thumbnails.data.dataset import Dataset

SUBSCRIBERS = ((0, "under 1,000"), (1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000"), (1e6, "1 M"))
"""Lower bounds; the last is open."""
AGES = ((0, "under a week"), (7, "a week"), (30, "30 days"), (180, "180 days"), (365, "a year"))
MIN_ROWS = 20
MIN_CHANNELS = 5
RESAMPLES = 500


@dataclass(frozen=True)
class Slice:
    """One part of the videos.

    Attributes:
        by: ``subscribers``, ``age`` or ``format``.
        name: Which part; for bounds: from this on.
        n_videos: Rows.
        n_channels: Their channels.
        base_rate: Share over the threshold.
        rungs: By name: ``auc``, ``r2`` (against this part's own mean), ``spearman`` and ``mae``;
            None where undefined.
        delta_r2: What the thumbnail adds here, with its interval by channel.
    """

    by: str
    name: str
    n_videos: int
    n_channels: int
    base_rate: float
    rungs: Mapping[str, Mapping[str, float | None]]
    delta_r2: Interval

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        return {**vars(self), "delta_r2": self.delta_r2.as_json()}


def slices_of(
    dataset: Dataset,
    predicted: Mapping[str, FloatArray],
    probabilities: Mapping[str, FloatArray],
    folds: IntArray,
    headline: tuple[str, str],
    *,
    seed: int,
) -> list[Slice]:
    """Judge every rung within every part that has enough videos.

    Args:
        dataset: The rows.
        predicted: log10(views per day + 1) by rung, each (N,).
        probabilities: P(≥ threshold) by rung, each (N,).
        folds: Of each row, (N,).
        headline: The rung with the thumbnail and the one without that are compared.
        seed: Makes the intervals repeatable.
    """
    labels, truth = dataset.is_over, dataset.log10_views_per_day
    channels = np.array(dataset.strings("channel_id"))
    more, less = (predicted[name] for name in headline)
    wider = over_trainings(len(np.unique(folds)))
    result = []
    for by, name, inside in parts_of(dataset):
        rows = np.flatnonzero(inside)
        distinct = len(set(channels[rows]))
        if len(rows) < MIN_ROWS or distinct < MIN_CHANNELS:
            continue
        here = truth[rows]

        def gain(weights: FloatArray, here: FloatArray = here, rows: IntArray = rows) -> FloatArray:
            with_, without = (
                metrics.r_squared(here, each[rows], weights=weights) for each in (more, less)
            )
            return with_ - without

        intervals = cluster_bootstrap(
            {"gain": gain}, channels[rows].tolist(), resamples=RESAMPLES, seed=seed
        )
        rungs = {
            rung: _figures(
                labels[rows], here, probabilities[rung][rows], predicted[rung][rows], folds[rows]
            )
            for rung in predicted
        }
        share = float(labels[rows].mean())
        gained = intervals["gain"].widened(wider)
        result.append(Slice(by, name, len(rows), distinct, share, rungs, gained))
    return result


def parts_of(dataset: Dataset) -> Iterator[tuple[str, str, BoolArray]]:
    """Yield what each part is by, its name, and which of the N rows are in it, (N,)."""
    for by, column, bounds in (
        ("subscribers", "subscriber_count", SUBSCRIBERS),
        ("age", "age_days", AGES),
    ):
        values = dataset.numbers(column)
        uppers = [low for low, _ in bounds[1:]] + [np.inf]
        for (low, name), high in zip(bounds, uppers, strict=True):
            yield by, name, (values >= low) & (values < high)
        yield by, "not known", np.isnan(values)
    formats = np.array([f or "not known" for f in dataset.strings("format")])
    for name in sorted(set(formats.tolist())):
        yield "format", name, formats == name


def _figures(
    labels: BoolArray,
    truth: FloatArray,
    probability_over: FloatArray,
    log_views: FloatArray,
    folds: IntArray,
) -> dict[str, float | None]:
    figures = {
        "auc": metrics.auc(labels, probability_over, strata=folds),
        "r2": metrics.r_squared(truth, log_views),
        "spearman": metrics.spearman(truth, log_views, strata=folds),
        "mae": metrics.mean_absolute_error(truth, log_views),
    }
    return {name: float(value) if np.isfinite(value) else None for name, value in figures.items()}
