"""Does a window of new rows differ from the rows a model learned on, column by column?

Fixed cut-offs for such distances fire on unchanged data, the more so the smaller the window. Here
each column's threshold is what the distance reaches where nothing has changed: pseudo-windows of
the window's number of channels and videos are drawn from the reference by channel, and held against
a reference that is drawn anew as well, since it is a sample too (Abadie 2002, "Bootstrap tests for
distributional treatment effects"; by cluster: Davison & Hinkley 1997, section 3.8). The thresholds
of all columns are set together, at the same level each, so that without drift *any* of them is
exceeded as rarely as asked for: the single-step procedure of Westfall & Young (1993, section 2.3),
which, unlike Bonferroni's, gives nothing away where columns go together.

The channels of a pseudo-window are others than those of its reference. Where window and reference
are of the same channels, alarms without drift are rarer than asked for, as long as no column grows
by itself: a count of a channel's earlier videos does, and is not to be given to this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import ELEMENTS_AT_ONCE

RESAMPLES = 1000
ROUNDING = 1e-9
"""Two sums of the same shares may differ so much."""
MIN_VIDEOS, MIN_CHANNELS = 50, 10
"""Of the window and of the reference: fewer tell nothing from chance."""


class Column(Protocol):
    """Something that can differ between the R rows of the reference and the W of the window."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def by_one_channel(self) -> bool:
        """Whether one channel's videos alone can make the distance as large as their share."""
        ...

    def distance(self) -> float:
        """Return how far the window is from the reference."""
        ...

    def between(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return the distances (B,) between two weightings (B, R) of the reference's rows."""
        ...


@dataclass(frozen=True)
class Drift:
    """One column's distance and what it may be.

    Attributes:
        name: Of the column.
        distance: Between window and reference; of performance: how much worse it is.
        threshold: Reached without drift so rarely that all columns together alarm as rarely as
            asked for.
        p_value: How often a pseudo-window is as far from its reference, of this column alone.
    """

    name: str
    distance: float
    threshold: float
    p_value: float

    @property
    def is_drifted(self) -> bool:
        """Whether the distance is more than chance."""
        return self.distance > self.threshold + ROUNDING


@dataclass(frozen=True)
class Numbers:
    """A number of each row, NaN where unknown: the Kolmogorov–Smirnov distance, 0 to 1.

    Unknown counts as less than any number, so that a share unknown that changed is seen too.
    """

    name: str
    reference: FloatArray
    window: FloatArray
    by_one_channel: bool = True

    def distance(self) -> float:
        """Return the largest difference of the two distribution functions."""
        values = np.concatenate([self.reference, self.window])
        is_window = np.arange(len(values)) >= len(self.reference)
        weights = is_window.astype(np.float64)[None]
        return float(_kolmogorov_smirnov(values, 1 - weights, weights)[0])

    def between(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """See :class:`Column`."""
        return _kolmogorov_smirnov(self.reference, first, second)


@dataclass(frozen=True)
class Categories:
    """A word of each row, or None where unknown: the total variation distance, 0 to 1."""

    name: str
    reference: Sequence[str | None]
    window: Sequence[str | None]
    by_one_channel: bool = True

    def distance(self) -> float:
        """Return half of the sum of the differences of the shares."""
        shares = [
            np.array([list(side).count(word) / len(side) for word in self._words()])
            for side in (self.reference, self.window)
        ]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)

    def between(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """See :class:`Column`."""
        one_hot = np.array(
            [[word == own for word in self._words()] for own in self.reference], dtype=np.float64
        )
        shares = [w @ one_hot / w.sum(axis=1, keepdims=True) for w in (first, second)]
        result: FloatArray = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
        return result

    def _words(self) -> list[str | None]:
        return list(dict.fromkeys([*self.reference, *self.window]))


@dataclass(frozen=True)
class Evaluated:
    """What a model said of rows, and what they did.

    Attributes:
        probability_over: P(views per day ≥ threshold), (N,).
        log10_views_per_day: Predicted log10(views per day + 1), (N,).
        is_over: Whether the threshold was reached, (N,).
        truth: log10(views per day + 1), (N,).
    """

    probability_over: FloatArray
    log10_views_per_day: FloatArray
    is_over: BoolArray
    truth: FloatArray


@dataclass(frozen=True)
class Performance:
    """How much worse a model is on the window: log loss, R² or bias of the probabilities."""

    name: str
    reference: Evaluated
    window: Evaluated
    by_one_channel: bool = False

    def distance(self) -> float:
        """Return by how much the window is worse, in the measure's unit; below 0: it is better."""
        first, second = (
            _measure(self.name, side, np.ones((1, len(side.truth))))
            for side in (self.reference, self.window)
        )
        return float(self._worse(first, second)[0])

    def between(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """See :class:`Column`."""
        return self._worse(
            _measure(self.name, self.reference, first), _measure(self.name, self.reference, second)
        )

    def values(self) -> tuple[float, float]:
        """Return the measure on the reference and on the window."""
        first, second = (
            float(_measure(self.name, side, np.ones((1, len(side.truth))))[0])
            for side in (self.reference, self.window)
        )
        return first, second

    def _worse(self, before: FloatArray, now: FloatArray) -> FloatArray:
        if self.name == BIAS:
            return np.abs(now - before)
        return before - now if self.name == R2 else now - before


LOG_LOSS, R2, BIAS = "log_loss", "r2", "bias"
MEASURES = (LOG_LOSS, R2, BIAS)


def _measure(name: str, evaluated: Evaluated, weights: FloatArray) -> FloatArray:
    if name == LOG_LOSS:
        return metrics.log_loss(evaluated.is_over, evaluated.probability_over, weights=weights)
    if name == R2:
        return metrics.r_squared(evaluated.truth, evaluated.log10_views_per_day, weights=weights)
    excess: FloatArray = (
        weights @ (evaluated.probability_over - evaluated.is_over) / weights.sum(axis=1)
    )
    return excess


def detect(
    columns: Sequence[Column],
    reference_channels: Sequence[str],
    window_channels: Sequence[str],
    *,
    alarm_rate: float = 0.05,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Drift]:
    """Say of each column whether the window differs from the reference by more than chance.

    What a single channel of the window can do is no drift of a distribution, however rare it was
    before: no threshold is below the largest share that one channel has of the window's videos.

    Args:
        columns: Of the same rows each, at least one.
        reference_channels: The channel of each of the R rows of the reference.
        window_channels: The channel of each of the W rows of the window.
        alarm_rate: How often at most *any* column may be said to have drifted if nothing has.
        resamples: How many pseudo-windows; at least ``len(columns) / alarm_rate``, better several
            times as many.
        seed: Makes them repeatable.

    Raises:
        LearningError: Too few rows or channels (``tooFewVideos``, ``tooFewChannels``).
    """
    _check(reference_channels, "reference")
    _check(window_channels, "window")
    null = _null_distances(columns, reference_channels, window_channels, resamples, seed)
    found = np.array([column.distance() for column in columns])
    thresholds = _thresholds(null, alarm_rate)
    _, sizes = np.unique(np.asarray(window_channels), return_counts=True)
    largest = float(sizes.max() / sizes.sum())
    return [
        Drift(
            column.name,
            float(distance),
            max(float(threshold), largest) if column.by_one_channel else float(threshold),
            float((1 + (drawn >= distance).sum()) / (1 + len(drawn))),
        )
        for column, distance, threshold, drawn in zip(
            columns, found, thresholds, null.T, strict=True
        )
    ]


def _check(channels: Sequence[str], what: str) -> None:
    distinct = len(set(channels))
    if len(channels) < MIN_VIDEOS:
        raise LearningError(
            f"the {what} has {len(channels)} videos, {MIN_VIDEOS} are needed", reason="tooFewVideos"
        )
    if distinct < MIN_CHANNELS:
        raise LearningError(
            f"the {what} has {distinct} channels, {MIN_CHANNELS} are needed",
            reason="tooFewChannels",
        )


def _thresholds(null: FloatArray, alarm_rate: float) -> FloatArray:
    """Return for each column of (B, C) distances the quantile at the level they share."""
    count = len(null)
    # How often a distance at least as large is drawn, of each column; ties count as larger.
    ordered = np.sort(null, axis=0)
    reached = np.stack(
        [
            count - np.searchsorted(ordered[:, c], null[:, c], side="left")
            for c in range(null.shape[1])
        ],
        axis=1,
    )
    smallest = np.sort(reached.min(axis=1))
    # The next draw is among the `level` largest as often as those of the pseudo-windows are.
    level = max(int(smallest[int(alarm_rate * count)]) - 1, 1)
    result: FloatArray = ordered[count - level]
    return result


def _null_distances(
    columns: Sequence[Column],
    reference_channels: Sequence[str],
    window_channels: Sequence[str],
    resamples: int,
    seed: int,
) -> FloatArray:
    """Return distances (B, C) between pseudo-windows and references drawn anew."""
    _, reference = np.unique(np.asarray(reference_channels), return_inverse=True)
    _, sizes = np.unique(np.asarray(window_channels), return_counts=True)
    channels = int(reference.max()) + 1
    generator = np.random.default_rng(seed)
    chunk = max(1, ELEMENTS_AT_ONCE // len(reference))
    found = []
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        draws = generator.multinomial(channels, np.full(channels, 1 / channels), size=count)
        anew = draws[:, reference].astype(np.float64)
        windows = _pseudo_windows(reference, sizes, count, generator)
        found.append(np.stack([column.between(anew, windows) for column in columns], axis=1))
    return np.concatenate(found)


def _pseudo_windows(
    reference: IntArray, sizes: IntArray, count: int, generator: np.random.Generator
) -> FloatArray:
    """Draw channels, and of each as many videos as one of the window's has: weights (count, R).

    Without replacement within a channel: the mean of a channel then scatters as the mean of so many
    of its videos does. One that has fewer counts with all of them, as often as needed.
    """
    by_channel = np.argsort(reference, kind="stable")
    videos = np.bincount(reference)
    first = np.cumsum(videos) - videos
    drawn = generator.integers(len(videos), size=count * len(sizes))
    asked = np.tile(sizes, count)
    # All videos of all drawn channels in random order, draw by draw, and then the first of each.
    draw = np.repeat(np.arange(len(drawn)), videos[drawn])
    place = np.arange(len(draw)) - np.repeat(
        np.cumsum(videos[drawn]) - videos[drawn], videos[drawn]
    )
    # One key in place of a sort by two, which takes five times as long: ties are as rare as before.
    order = np.argsort(draw + generator.random(len(draw)))
    chosen = place < asked[draw]
    draw, place = draw[chosen], place[order][chosen]
    rows = by_channel[first[drawn[draw]] + place]
    weight = (asked / np.minimum(asked, videos[drawn]))[draw]
    cells = draw // len(sizes) * len(reference) + rows
    flat = np.bincount(cells, weights=weight, minlength=count * len(reference))
    return flat.astype(np.float64).reshape(count, len(reference))


def _kolmogorov_smirnov(values: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the distances (B,) of two weightings (B, N) of the same values, NaN the smallest."""
    known = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    shares = [
        np.cumsum(weights[:, order], axis=1)[:, last] / weights.sum(axis=1, keepdims=True)
        for weights in (first, second)
    ]
    result: FloatArray = np.abs(shares[0] - shares[1]).max(axis=1)
    return result
