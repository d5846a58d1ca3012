"""How sure a grade is: of which channels there happen to be, and of what the models learned.

Each fold's model learned from all channels but that fold's. What K such models say differs as
delete-a-group jackknife replicates do, so their spread tells how far another sample of channels
would have moved the answer, training included (Efron & Stein 1981; Kott 2001, "The delete-a-group
jackknife"). A bootstrap would have to train anew for every resample.
"""

from collections.abc import Sequence

import numpy as np

from ml.arrays import BoolArray, FloatArray
from ml.evaluation.bootstrap import Interval, cluster_weights

STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % points of Student's t with 1, 2, … degrees of freedom; with more the last is safe."""
RESAMPLES = 2000


def jackknife(by_model: FloatArray, held_out: BoolArray) -> Interval:
    """Return the 95 % interval of something that each of K models says.

    Args:
        by_model: Shape (K,).
        held_out: Which of the models may answer: those that never saw the channel, shape (K,). The
            others tell only how much models differ.
    """
    value = float(by_model[held_out].mean())
    reach = STUDENT_T[min(len(by_model) - 1, len(STUDENT_T)) - 1] * standard_error(by_model)
    return Interval(value, value - reach, value + reach)


def standard_error(by_model: FloatArray) -> float:
    """Return the delete-a-group jackknife's standard error of what K models say."""
    count = len(by_model)
    off = by_model - by_model.mean()
    return float(np.sqrt((count - 1) / count * (off @ off)))


def percentile(
    mine: FloatArray,
    theirs: FloatArray,
    clean: BoolArray,
    held_out: BoolArray,
    clusters: Sequence[str],
    *,
    seed: int,
) -> Interval | None:
    """Return which percentage of pictures a picture is ahead of, with its 95 % interval.

    Both are predicted by the same models, which never saw the channel of either. Each of the
    bootstrap's draws takes the clusters anew and moves the picture by as much as models differ.

    Args:
        mine: What each model says of the picture, (K,).
        theirs: What each model says of the others, (K, N).
        clean: Which model never saw which other's channel, (K, N).
        held_out: Which models never saw the picture's channel, (K,).
        clusters: What is drawn together, N channels or videos.
        seed: Makes the draws repeatable.

    Returns:
        From 0 to 100; None if no model may answer for any.
    """
    use = clean & held_out[:, None]
    kept = np.flatnonzero(use.any(axis=0))
    if len(kept) == 0:
        return None
    weight = use[:, kept].astype(np.float64)
    ahead = ((mine[:, None] - theirs[:, kept]) * weight).sum(axis=0) / weight.sum(axis=0)
    value = float(((ahead > 0) + 0.5 * (ahead == 0)).mean())
    error = standard_error(mine - np.median(theirs, axis=1))
    moves = np.random.default_rng(seed).standard_t(len(mine) - 1, RESAMPLES) * error
    drawn, start = [], 0
    names = [clusters[row] for row in kept.tolist()]
    for weights in cluster_weights(names, resamples=RESAMPLES, seed=seed):
        moved = ahead + moves[start : start + len(weights), None]
        start += len(weights)
        wins = (moved > 0) + 0.5 * (moved == 0)
        drawn.append((weights * wins).sum(axis=1) / weights.sum(axis=1))
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
    return Interval(100 * value, 100 * float(low), 100 * float(high))
