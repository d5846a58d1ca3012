"""Channel-disjoint folds that stay the same from night to night.

A channel's fold is a hash of its id, so retraining on more data never moves a channel into another
fold, and a channel first seen at scoring time has a fold too.
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


def fold_of(channel_id: str, *, seed: int, folds: int) -> int:
    """Return the fold of one channel, from 0 to ``folds - 1``.

    Raises:
        LearningError: Fewer than three folds.
    """
    if folds < MIN_FOLDS:
        raise LearningError(
            f"{folds} folds are too few: pairwise cross-fitting needs at least {MIN_FOLDS}",
            reason="too_few_folds",
        )
    digest = hashlib.sha256(f"{seed}:{channel_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def folds_of(channel_ids: Iterable[str], *, seed: int, folds: int) -> IntArray:
    """Return the fold of each row's channel, shape (N,)."""
    known: dict[str, int] = {}
    rows = list(channel_ids)
    for channel_id in rows:
        if channel_id not in known:
            known[channel_id] = fold_of(channel_id, seed=seed, folds=folds)
    return np.array([known[channel_id] for channel_id in rows], dtype=np.int64)


def assign_folds(channel_ids: Sequence[str], *, seed: int, folds: int) -> IntArray:
    """Return the fold of each row's channel, shape (N,), for training.

    Raises:
        LearningError: Some fold would hold fewer than two channels.
    """
    assigned = folds_of(channel_ids, seed=seed, folds=folds)
    channels = sorted(set(channel_ids))
    per_fold = np.bincount(folds_of(channels, seed=seed, folds=folds), minlength=folds)
    if per_fold.min() < MIN_CHANNELS_PER_FOLD:
        raise LearningError(
            f"{len(channels)} channels in {len(assigned)} videos are too few to learn from: each of"
            f" {folds} folds needs at least {MIN_CHANNELS_PER_FOLD} channels, the smallest has"
            f" {per_fold.min()}; crawl more channels (about {folds * 8} are usually enough)",
            reason="too_few_channels",
        )
    return assigned


def fold_pairs(folds: int) -> list[tuple[int, int]]:
    """List the pairs {j, k} of folds that a member of the ensemble leaves out, j < k."""
    return list(combinations(range(folds), 2))
