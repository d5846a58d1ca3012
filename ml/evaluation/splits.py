"""Folds that keep channels and copies of pictures whole, and stay the same from night to night.

What a fold keeps whole is a split group: channels that share a picture
(:mod:`ml.thumbnails.data.duplicates`), for most channels the channel alone, and then named by its
id. A group's fold is a hash of its name, so retraining on more data moves a channel into another
fold only where a picture ties it to others, and a channel first seen at scoring time has a fold
too.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from ml.arrays import IntArray
from ml.errors import LearningError

MIN_FOLDS = 3
"""Pairwise cross-fitting leaves two folds out and needs at least one to learn from."""
MIN_CHANNELS_PER_FOLD = 2


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


def folds_of(groups: Iterable[str], *, seed: int, folds: int) -> IntArray:
    """Return the fold of each row's split group, shape (N,)."""
    known: dict[str, int] = {}
    rows = list(groups)
    for group in rows:
        if group not in known:
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
