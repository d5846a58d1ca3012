"""Logistic regression by Newton's method, for whoever has a design, weights and a penalty."""

import numpy as np

from ml.arrays import FloatArray

STEPS = 50
TOLERANCE = 1e-10


def fit_logistic_weights(
    design: FloatArray, target: FloatArray, importance: FloatArray, penalty: FloatArray
) -> FloatArray:
    """Minimise the penalised log loss; there is one solution.

    Args:
        design: Shape (N, C), with a column of ones for an intercept.
        target: Between 0 and 1, shape (N,).
        importance: Of each row, shape (N,).
        penalty: Of each coefficient's square, halved, shape (C,).

    Returns:
        Coefficients, shape (C,).
    """
    ridge = np.diag(penalty)
    beta = np.zeros(design.shape[1])

    def loss(at: FloatArray) -> float:
        logits = design @ at
        fit = np.logaddexp(0.0, logits) - target * logits
        return float(importance @ fit + at @ ridge @ at / 2)

    for _ in range(STEPS):
        p = sigmoid(design @ beta)
        gradient = design.T @ (importance * (p - target)) + ridge @ beta
        hessian = (design.T * (importance * p * (1 - p))) @ design + ridge
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        size = 1.0
        # Halving keeps Newton from overshooting where classes are nearly separable.
        while loss(beta - size * step) > loss(beta) and size > TOLERANCE:
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < TOLERANCE:
            break
    return beta


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    result: FloatArray = np.exp(-np.logaddexp(0.0, -logits))
    return result
