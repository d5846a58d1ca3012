"""How good predictions are, with frequency weights and within strata.

Every metric takes ``weights`` of shape (N,) or (B, N) and returns shape () or (B,): a weight of 3
means the row counts three times, so B bootstrap resamples cost one vectorised call. Rank metrics
take ``strata`` as well: only rows of the same stratum are compared. Out-of-fold scores need that,
because scores of different folds come from different models: pooled over folds, a constant fitted
without a row's fold is *low* where the row's fold is high and gets an AUC below one half
(Parker et al. 2007, "Stratification bias in low signal microarray studies").
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.arrays import BoolArray, FloatArray, IntArray

PROBABILITY_FLOOR = 1e-7
"""Log loss clips here, so that one confident mistake does not make it infinite."""


def auc(
    labels: BoolArray,
    scores: FloatArray,
    *,
    weights: npt.ArrayLike | None = None,
    strata: IntArray | None = None,
) -> FloatArray:
    """Area under the ROC curve: how often a positive outscores a negative, ties counting half.

    With strata: over all pairs within one stratum. NaN where no such pair exists.
    """
    wins: FloatArray = np.zeros(())
    pairs: FloatArray = np.zeros(())
    for rows, weight in _strata(_weights(weights, len(scores)), strata):
        groups = _TieGroups(scores[rows])
        positive = groups.sums(weight * labels[rows])
        negative = groups.sums(weight * ~labels[rows])
        below = np.cumsum(negative, axis=-1) - negative
        wins = wins + (positive * (below + negative / 2)).sum(axis=-1)
        pairs = pairs + positive.sum(axis=-1) * negative.sum(axis=-1)
    return _ratio(wins, pairs)


def average_precision(
    labels: BoolArray,
    scores: FloatArray,
    *,
    weights: npt.ArrayLike | None = None,
    strata: IntArray | None = None,
) -> FloatArray:
    """Mean precision over the positives, ranked by score; with strata averaged over positives."""

    def one(rows: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        groups = _TieGroups(-scores[rows])
        positive = groups.sums(weight * labels[rows])
        everything = groups.sums(weight)
        precision = _ratio(np.cumsum(positive, axis=-1), np.cumsum(everything, axis=-1), empty=0.0)
        total = positive.sum(axis=-1)
        return _ratio((positive * precision).sum(axis=-1), total), total

    return _average(one, _weights(weights, len(scores)), strata)


def spearman(
    first: FloatArray,
    second: FloatArray,
    *,
    weights: npt.ArrayLike | None = None,
    strata: IntArray | None = None,
) -> FloatArray:
    """Spearman's rank correlation with midranks; with strata averaged by their weight.

    A constant ranks nothing, so its correlation is 0 rather than undefined.
    """

    def one(rows: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        a = _TieGroups(first[rows]).midranks(weight)
        b = _TieGroups(second[rows]).midranks(weight)
        total = weight.sum(axis=-1, keepdims=True)
        a = a - _ratio((weight * a).sum(axis=-1, keepdims=True), total, empty=0.0)
        b = b - _ratio((weight * b).sum(axis=-1, keepdims=True), total, empty=0.0)
        spread = np.sqrt((weight * a * a).sum(axis=-1) * (weight * b * b).sum(axis=-1))
        return _ratio((weight * a * b).sum(axis=-1), spread, empty=0.0), total[..., 0]

    return _average(one, _weights(weights, len(first)), strata)


def r_squared(
    truth: FloatArray, predicted: FloatArray, *, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Share of the variance explained: 1 - squared error / squared distance from the mean.

    Negative where the predictions are worse than the mean of these very rows.
    """
    weight = _weights(weights, len(truth))
    total = weight.sum(axis=-1)
    # The sums are taken about the overall mean, which keeps the subtraction below well conditioned.
    centred = truth - truth.mean()
    mean = _ratio(weight @ centred, total, empty=0.0)
    spread = weight @ centred**2 - total * mean**2
    # A spread that is only rounding error is no spread.
    spread = np.where(spread > total * 1e-12, spread, 0.0)
    return 1.0 - _ratio(weight @ (truth - predicted) ** 2, spread)


def mean_absolute_error(
    truth: FloatArray, predicted: FloatArray, *, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Mean distance between prediction and truth, in the truth's unit; lower is better."""
    weight = _weights(weights, len(truth))
    return _ratio(weight @ np.abs(truth - predicted), weight.sum(axis=-1))


def within_cluster_auc(
    labels: BoolArray,
    scores: FloatArray,
    clusters: Sequence[str],
    *,
    weights: npt.ArrayLike | None = None,
) -> FloatArray:
    """AUC over the pairs of videos of one channel: what is left when the channel is known.

    A weight stands for how often the whole cluster was drawn, so all rows of a cluster have the
    same one; a channel drawn twice is two channels with their own pairs. NaN without any pair.
    """
    _, first, cluster_of = np.unique(clusters, return_index=True, return_inverse=True)
    wins, pairs = np.zeros(len(first)), np.zeros(len(first))
    both = np.bincount(cluster_of[labels], minlength=len(first)) * np.bincount(
        cluster_of[~labels], minlength=len(first)
    )
    for cluster in np.flatnonzero(both):
        rows = np.flatnonzero(cluster_of == cluster)
        pairs[cluster] = both[cluster]
        wins[cluster] = both[cluster] * auc(labels[rows], scores[rows])
    drawn = _weights(weights, len(labels))[..., first]
    return _ratio(drawn @ wins, drawn @ pairs)


def brier(
    labels: BoolArray, probabilities: FloatArray, *, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Mean squared error of the probabilities (Brier 1950); lower is better."""
    weight = _weights(weights, len(labels))
    return _ratio(weight @ (probabilities - labels) ** 2, weight.sum(axis=-1))


def log_loss(
    labels: BoolArray, probabilities: FloatArray, *, weights: npt.ArrayLike | None = None
) -> FloatArray:
    """Mean negative log likelihood in nats; lower is better."""
    weight = _weights(weights, len(labels))
    clipped = np.clip(probabilities, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    loss = -np.where(labels, np.log(clipped), np.log1p(-clipped))
    return _ratio(weight @ loss, weight.sum(axis=-1))


@dataclass(frozen=True)
class CalibrationBin:
    """Rows with similar predicted probability: what was predicted and what happened."""

    n: int
    predicted: float
    observed: float


def calibration_bins(
    labels: BoolArray, probabilities: FloatArray, *, bins: int = 10
) -> list[CalibrationBin]:
    """Group rows into at most ``bins`` equally filled bins of predicted probability."""
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(edges, probabilities, side="left")
    members = [index == b for b in np.unique(index)]
    return [
        CalibrationBin(
            n=int(rows.sum()),
            predicted=float(probabilities[rows].mean()),
            observed=float(labels[rows].mean()),
        )
        for rows in members
    ]


class _TieGroups:
    """Rows sorted by score, equal scores grouped together."""

    def __init__(self, scores: FloatArray) -> None:
        self.order = np.argsort(scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self.group_of = np.empty(len(scores), dtype=np.int64)
        sizes = np.diff(np.r_[self.starts, len(scores)])
        self.group_of[self.order] = np.repeat(np.arange(len(self.starts)), sizes)

    def sums(self, values: FloatArray) -> FloatArray:
        """Sum (..., N) values by group of equal scores, ascending: (..., groups)."""
        result: FloatArray = np.add.reduceat(values[..., self.order], self.starts, axis=-1)
        return result

    def midranks(self, weight: FloatArray) -> FloatArray:
        """Rank every row as if it were repeated ``weight`` times; ties share their mean rank."""
        sums = self.sums(weight)
        rank = np.cumsum(sums, axis=-1) - sums + (sums + 1) / 2
        return rank[..., self.group_of]


def _weights(weights: npt.ArrayLike | None, rows: int) -> FloatArray:
    return np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)


def _strata(weight: FloatArray, strata: IntArray | None) -> Iterator[tuple[IntArray, FloatArray]]:
    if strata is None:
        yield np.arange(weight.shape[-1]), weight
        return
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        yield rows, weight[..., rows]


def _average(
    metric: Callable[[IntArray, FloatArray], tuple[FloatArray, FloatArray]],
    weight: FloatArray,
    strata: IntArray | None,
) -> FloatArray:
    """Average a metric over strata; a stratum where it is undefined has no say."""
    total: FloatArray = np.zeros(())
    share: FloatArray = np.zeros(())
    for rows, stratum_weight in _strata(weight, strata):
        value, size = metric(rows, stratum_weight)
        size = np.where(np.isnan(value), 0.0, size)
        total = total + size * np.nan_to_num(value)
        share = share + size
    return _ratio(total, share)


def _ratio(above: FloatArray, below: FloatArray, *, empty: float = np.nan) -> FloatArray:
    result: FloatArray = np.divide(
        above, below, out=np.full(np.broadcast(above, below).shape, empty), where=below != 0
    )
    return result
