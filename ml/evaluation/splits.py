"""Folds of channels that stay the same from night to night, and which rows teach which model.

What a fold keeps whole is a split group: channels that share a picture
(:mod:`ml.thumbnails.data.duplicates`), for most channels the channel alone, and then named by its
id. A group's fold is a hash of its name, so retraining on more data moves a channel into another
fold only where a picture ties it to others.

A row whose channel a training did not see is in no fold of it (:data:`NO_FOLD`): each of the folds'
models may score it, and it takes their mean, which is better than any one of them (bagging,
Breiman 1996, "Bagging predictors").

Pairwise cross-fitting (docs/decisions/0003): with K folds there are K(K-1)/2 ensemble members;
member {j, k} is trained without folds j and k. A row of fold k is scored by the members that leave
k out. The regression on top for fold k is fitted on the other folds, each row of fold j through the
outputs of member {j, k}, which saw neither j nor k. So no label of fold k reaches anything that
scores fold k.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.errors import LearningError

MIN_FOLDS = 3
"""Pairwise cross-fitting leaves two folds out and needs at least one to learn from."""
MIN_CHANNELS_PER_FOLD = 2
NO_FOLD = -1
"""The fold of rows whose split group is None: no model of the training saw their channel."""
Pair = tuple[int, int]
"""Two folds j < k that a member leaves out."""
OutputsByPair = Mapping[Pair, tuple[IntArray, FloatArray]]
"""Each member's row indices (R,), all of its left-out folds, and outputs (R, C)."""


def fold_of(group: str, *, seed: int, folds: int) -> int:
    """Return the fold of one split group, from 0 to ``folds - 1``.

    Raises:
        LearningError: Fewer than three folds.
    """
    if folds < MIN_FOLDS:
        raise LearningError(
            f"{folds} folds are too few: pairwise cross-fitting needs at least {MIN_FOLDS}",
            reason="tooFewFolds",
        )
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def folds_of(groups: Iterable[str | None], *, seed: int, folds: int) -> IntArray:
    """Return the fold of each row's split group, shape (N,); :data:`NO_FOLD` where it is None."""
    known: dict[str | None, int] = {None: NO_FOLD}
    rows = list(groups)
    for group in rows:
        if group is not None and group not in known:
            known[group] = fold_of(group, seed=seed, folds=folds)
    return np.array([known[group] for group in rows], dtype=np.int64)


def assign_folds(groups: Sequence[str], *, seed: int, folds: int) -> IntArray:
    """Return the fold of each row's split group, shape (N,), for training.

    Raises:
        LearningError: Some fold would hold fewer than two groups.
    """
    assigned = folds_of(groups, seed=seed, folds=folds)
    distinct = sorted(set(groups))
    per_fold = np.bincount(folds_of(distinct, seed=seed, folds=folds), minlength=folds)
    if per_fold.min() < MIN_CHANNELS_PER_FOLD:
        raise LearningError(
            f"{len(distinct)} channels in {len(assigned)} videos are too few to learn from: each of"
            f" {folds} folds needs at least {MIN_CHANNELS_PER_FOLD} channels, the smallest has"
            f" {per_fold.min()}; crawl more channels (about {folds * 8} are usually enough)",
            reason="tooFewChannels",
        )
    return assigned


def fold_pairs(folds: int) -> list[tuple[int, int]]:
    """List the pairs {j, k} of folds that a member of the ensemble leaves out, j < k."""
    return list(combinations(range(folds), 2))


def training_rows(folds_by_row: IntArray, left_out: Pair) -> IntArray:
    """Return the indices of the rows in neither of the two folds."""
    return np.flatnonzero(~np.isin(folds_by_row, left_out))


def rows_outside(folds_by_row: IntArray, fold: int) -> IntArray:
    """Return the indices of the rows outside one fold."""
    return np.flatnonzero(folds_by_row != fold)


def rows_scored_without(folds_by_row: IntArray, left_out: Collection[int]) -> IntArray:
    """Return the indices of the rows that a model fitted without some folds may score.

    They are those in the folds that it left out, and those in none.
    """
    return np.flatnonzero(np.isin(folds_by_row, [*left_out, NO_FOLD]))


def mean_outputs(
    folds_by_row: IntArray, fold: int, folds: int, by_pair: OutputsByPair
) -> FloatArray:
    """Average the K - 1 members without a fold, (R, C), on the rows scored without it."""
    rows = rows_scored_without(folds_by_row, (fold,))
    total = np.zeros((len(folds_by_row), _width(by_pair)))
    for pair, (members_rows, outputs) in by_pair.items():
        if fold in pair:
            total[members_rows] += outputs
    return total[rows] / (folds - 1)


def nested_outputs(folds_by_row: IntArray, outer: int, by_pair: OutputsByPair) -> FloatArray:
    """Return (N, C): for rows of each fold j ≠ ``outer`` the outputs of member {j, outer}.

    Rows of the outer fold are NaN: nothing fitted for it may use them.
    """
    result = np.full((len(folds_by_row), _width(by_pair)), np.nan)
    for pair, (rows, outputs) in by_pair.items():
        if outer in pair:
            others = folds_by_row[rows] != outer
            result[rows[others]] = outputs[others]
    return result


def _width(by_pair: OutputsByPair) -> int:
    _, outputs = next(iter(by_pair.values()))
    return int(outputs.shape[1])
