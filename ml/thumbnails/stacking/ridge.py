"""Ridge regression for every penalty at once, and the choice of a penalty by left-out channels."""

from collections.abc import Iterator, Sequence

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.errors import LearningError

INNER_FOLDS = 5


class Decomposition:
    """Eigenvectors of a design (N, M), shared by all penalties and targets."""

    def __init__(self, features: FloatArray) -> None:
        self._features = features
        self._wide = features.shape[0] <= features.shape[1]
        gram = features @ features.T if self._wide else features.T @ features
        self._values, self._vectors = np.linalg.eigh(gram)

    def ridge(self, target: FloatArray, penalties: Sequence[float]) -> tuple[float, FloatArray]:
        """Regress for every penalty: the intercept and the slopes (R, M).

        Args:
            target: (N,).
            penalties: R of them, on the slopes as they are.
        """
        mean = float(target.mean())
        centred = target - mean
        against = self._vectors.T @ (centred if self._wide else self._features.T @ centred)
        shrunk = against / (np.maximum(self._values, 0) + np.array(penalties)[:, None])
        slopes = shrunk @ self._vectors.T
        return mean, slopes @ self._features if self._wide else slopes


def inner_folds(groups: Sequence[str], *, seed: int) -> IntArray:
    """Deal split groups out to folds in random order; return each row's fold, (N,).

    Fewer groups than :data:`INNER_FOLDS` are left out one by one.

    Raises:
        LearningError: There is one group only: without it nothing is left to learn from.
    """
    distinct, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if len(distinct) == 1:
        raise LearningError("one channel cannot be left out of itself", reason="tooFewChannels")
    dealt = np.random.default_rng(seed).permutation(len(distinct)) % INNER_FOLDS
    return np.asarray(dealt[group_of])


def left_out_in_turn(folds: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield, fold by fold, the rows to learn from and the rows left out."""
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
