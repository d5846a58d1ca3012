"""Percentile bootstrap by cluster.

Videos of one channel share their audience, so they are not independent; resampling whole channels
keeps that dependence (Davison & Hinkley 1997, section 3.8). Resamples are expressed as row
weights, which the metrics in :mod:`ml.evaluation.metrics` take for many resamples at once, and the
same resamples serve every model: differences between models are paired.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import FloatArray
from ml.errors import LearningError

ELEMENTS_AT_ONCE = 500_000
"""Resamples are worked off in chunks of about this many row weights, to stay within the cache."""
MIN_DEFINED = 0.9
"""No interval is given when a metric is undefined in more than a tenth of the resamples."""

Metric = Callable[[FloatArray], FloatArray]
"""Maps row weights of shape (N,) or (B, N) to values of shape () or (B,)."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval; NaN where undefined."""

    value: float
    low: float
    high: float

    def widened(self, by: float) -> "Interval":
        """Return the interval with both limits ``by`` times as far from the value."""
        low = self.value + by * (self.low - self.value)
        return Interval(self.value, low, self.value + by * (self.high - self.value))

    def as_json(self) -> dict[str, float | None]:
        """Return the three numbers, None for NaN."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: number if np.isfinite(number) else None for name, number in numbers.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, float | None]) -> "Interval":
        """Return an interval from what :meth:`as_json` gave."""
        numbers = (values[name] for name in ("value", "low", "high"))
        return cls(*(float("nan") if n is None else n for n in numbers))


def cluster_bootstrap(
    metrics: Mapping[str, Metric],
    clusters: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Give each metric's value on all rows and its percentile interval over resampled clusters.

    Args:
        metrics: Functions of the row weights, by name; all see the same resamples.
        clusters: The cluster (channel) of each row, length N.
        resamples: How many resamples.
        seed: Makes the resamples repeatable.
        level: Coverage of the interval.

    Raises:
        LearningError: Fewer than two clusters.
    """
    distinct = len(set(clusters))
    if distinct < 2:  # noqa: PLR2004 - one cluster has no variation to resample
        raise LearningError(
            f"{distinct} channel is too few for an interval by channel; at least 2 are needed",
            reason="tooFewChannels",
        )
    whole = np.ones(len(clusters))
    drawn: dict[str, list[FloatArray]] = {name: [] for name in metrics}
    for weights in cluster_weights(clusters, resamples=resamples, seed=seed):
        for name, metric in metrics.items():
            drawn[name].append(metric(weights))
    return {
        name: _interval(float(metric(whole)), np.concatenate(drawn[name]), level)
        for name, metric in metrics.items()
    }


def over_trainings(folds: int) -> float:
    """Return how many times wider the interval of a cross-fitted difference has to be.

    Resampling channels with the models held fixed tells how other channels would differ, not how
    models learned from other channels would, and the K folds teach each other's models. No unbiased
    estimate of that variance exists (Bengio & Grandvalet 2004, "No unbiased estimator of the
    variance of K-fold cross-validation"). Nadeau & Bengio (2003, "Inference for the generalization
    error") take 1/K, the share judged at once, for the correlation between folds: the variance
    grows by 1 + K/(K - 1). How that fares is measured in docs/results/calibration.md.

    Args:
        folds: K, at least 2.
    """
    return math.sqrt(1 + folds / (folds - 1))


def cluster_weights(clusters: Sequence[str], *, resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield row weights (B, N) in chunks: how often each row's cluster was drawn."""
    _, cluster_of = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(cluster_of.max()) + 1
    generator = np.random.default_rng(seed)
    chunk = max(1, ELEMENTS_AT_ONCE // len(cluster_of))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        draws = generator.multinomial(count, np.full(count, 1 / count), size=size)
        yield draws[:, cluster_of].astype(np.float64)


def _interval(value: float, drawn: FloatArray, level: float) -> Interval:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < MIN_DEFINED * len(drawn):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
