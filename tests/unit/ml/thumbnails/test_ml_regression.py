import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

from ml.logistic import sigmoid
from ml.thumbnails.stacking.regression import fit_linear, fit_logistic, linear_predictor


def made(seed=0, n=400):
    generator = np.random.default_rng(seed)
    columns = generator.normal(3, 2, size=(n, 2))
    target = columns @ [0.7, -0.2] + 1 + generator.normal(0, 0.5, n)
    return columns, target, generator.random(n) < sigmoid(target - 2.5)


def test_linear_regression_agrees_with_least_squares():
    columns, target, _ = made()
    reference = LinearRegression().fit(columns, target)
    expected = np.r_[reference.intercept_, reference.coef_]
    np.testing.assert_allclose(fit_linear(columns, target), expected, atol=1e-4)


def test_logistic_regression_agrees_with_maximum_likelihood():
    columns, _, labels = made(n=4000)
    reference = LogisticRegression(C=1e6, tol=1e-8).fit(columns, labels)
    expected = np.r_[reference.intercept_, reference.coef_[0]]
    np.testing.assert_allclose(fit_logistic(columns, labels), expected, atol=0.01)


@pytest.mark.parametrize("label", [True, False])
def test_one_class_gives_a_finite_confident_probability(label):
    columns, _, _ = made()
    fitted = fit_logistic(columns, np.full(400, label))
    p = sigmoid(linear_predictor(fitted, columns))
    assert np.isfinite(fitted).all()
    assert np.abs(p - label).max() < 0.05


def test_separable_classes_stay_finite():
    columns = np.linspace(-1, 1, 50)[:, None]
    fitted = fit_logistic(columns, columns[:, 0] > 0)
    p = sigmoid(linear_predictor(fitted, columns))
    assert np.isfinite(fitted).all()
    assert ((p > 0.5) == (columns[:, 0] > 0)).all()


def test_an_idle_column_changes_nothing():
    columns, target, labels = made()
    idle = np.column_stack([columns, np.zeros(400)])
    assert fit_linear(idle, target)[-1] == 0
    np.testing.assert_allclose(fit_logistic(idle, labels)[:-1], fit_logistic(columns, labels))


@given(st.lists(st.floats(-1e4, 1e4), min_size=1))
def test_probabilities_stay_within_zero_and_one(logits):
    p = sigmoid(np.array(logits))
    assert ((p >= 0) & (p <= 1)).all()
