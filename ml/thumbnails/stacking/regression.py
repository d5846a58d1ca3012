"""Linear and logistic regression on columns of any scale."""

import numpy as np

from ml.arrays import BoolArray, FloatArray
from ml.logistic import fit_logistic_weights

RIDGE = 1e-3
"""Penalty on standardised slopes, in rows: negligible beside data, decisive for idle columns."""


def fit_linear(
    columns: FloatArray, target: FloatArray, ridge: float | FloatArray = RIDGE
) -> FloatArray:
    """Fit least squares; return (1 + C,) coefficients, the intercept first.

    Args:
        columns: Shape (N, C).
        target: Shape (N,).
        ridge: Penalty on standardised slopes, in rows; one for all or one a column, (C,).
    """
    centre, scale = _scaling(columns)
    standard = (columns - centre) / scale
    gram = standard.T @ standard + ridge * np.eye(columns.shape[1])
    slopes = np.linalg.solve(gram, standard.T @ (target - target.mean())) / scale
    coefficients: FloatArray = np.r_[target.mean() - centre @ slopes, slopes]
    return coefficients


def fit_logistic(
    columns: FloatArray, labels: BoolArray, ridge: float | FloatArray = RIDGE
) -> FloatArray:
    """Fit logistic regression; return (1 + C,), the intercept first.

    Half a positive and half a negative row at the mean of the columns keep the fit finite where
    all labels agree (cf. Jeffreys' prior); among hundreds of rows they are not felt.

    Args:
        columns: Shape (N, C).
        labels: Shape (N,).
        ridge: As for :func:`fit_linear`.
    """
    centre, scale = _scaling(columns)
    standard = (columns - centre) / scale
    design = np.column_stack(
        [np.ones(len(standard) + 2), np.r_[standard, np.zeros((2, len(scale)))]]
    )
    target = np.r_[labels.astype(np.float64), 0.0, 1.0]
    weight = np.r_[np.ones(len(labels)), 0.5, 0.5]
    # Slopes are held a little; the two half rows hold the intercept.
    penalty = np.r_[0.0, np.broadcast_to(ridge, len(scale))]
    beta = fit_logistic_weights(design, target, weight, penalty)
    slopes = beta[1:] / scale
    coefficients: FloatArray = np.r_[beta[0] - centre @ slopes, slopes]
    return coefficients


def linear_predictor(coefficients: FloatArray, columns: FloatArray) -> FloatArray:
    """Return intercept + columns · slopes, shape (N,)."""
    # Multiplied and summed by row, so that a row's result does not depend on its neighbours.
    total: FloatArray = coefficients[0] + (columns * coefficients[1:]).sum(axis=1)
    return total


def _scaling(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    scale = columns.std(axis=0)
    return columns.mean(axis=0), np.where(scale > 0, scale, 1.0)
