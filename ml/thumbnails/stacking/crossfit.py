"""Pairwise cross-fitting: which rows teach which model (docs/decisions/0003).

With K folds of channels there are K(K-1)/2 ensemble members; member {j, k} is trained without
folds j and k. A row of fold k is scored by the members that leave k out. The regression on top for
fold k is fitted on the other folds, each row of fold j through the outputs of member {j, k}, which
saw neither j nor k. So no label of fold k reaches anything that scores fold k.
"""

from collections.abc import Mapping

import numpy as np

from ml.arrays import FloatArray, IntArray

OUTPUTS = 3
VIEWS, OVER, RESIDUAL = range(OUTPUTS)
"""What each model of thumbnails gives, by position; two models give six columns, three nine."""
Pair = tuple[int, int]
"""Two folds j < k that a member leaves out."""
OutputsByPair = Mapping[Pair, tuple[IntArray, FloatArray]]
"""Each member's row indices (R,), all of its left-out folds, and outputs (R, C)."""


def training_rows(folds_by_row: IntArray, left_out: Pair) -> IntArray:
    """Return the indices of the rows in neither of the two folds."""
    return np.flatnonzero(~np.isin(folds_by_row, left_out))


def rows_outside(folds_by_row: IntArray, fold: int) -> IntArray:
    """Return the indices of the rows outside one fold."""
    return np.flatnonzero(folds_by_row != fold)


def rows_inside(folds_by_row: IntArray, fold: int) -> IntArray:
    """Return the indices of the rows in one fold."""
    return np.flatnonzero(folds_by_row == fold)


def mean_outputs(rows: int, folds: int, by_pair: OutputsByPair) -> FloatArray:
    """Average, for each of N rows, the K - 1 members that never saw its fold, shape (N, C)."""
    total = np.zeros((rows, _width(by_pair)))
    for members_rows, outputs in by_pair.values():
        total[members_rows] += outputs
    return total / (folds - 1)


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
