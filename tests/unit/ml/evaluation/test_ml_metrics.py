import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from ml.evaluation import metrics


@st.composite
def weighted_rows(draw):
    """Labels of both classes, scores with ties, a second variable, and whole-number weights."""
    n = draw(st.integers(4, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    labels = np.r_[True, False, generator.random(n - 2) < 0.4]
    scores = np.round(generator.random(n), draw(st.integers(1, 3)))
    other = np.round(generator.normal(size=n) + scores, 1)
    weights = np.r_[1, 1, generator.integers(0, 4, size=n - 2)]
    return labels, scores, other, weights


@given(weighted_rows())
def test_a_weight_counts_like_a_repeated_row(rows):
    labels, scores, other, weights = rows
    y, p, z = (np.repeat(column, weights) for column in (labels, scores, other))
    ours = {
        "auc": metrics.auc(labels, scores, weights=weights),
        "average precision": metrics.average_precision(labels, scores, weights=weights),
        "brier": metrics.brier(labels, scores, weights=weights),
        "log loss": metrics.log_loss(labels, scores, weights=weights),
        "r2": metrics.r_squared(other, scores, weights=weights),
    }
    theirs = {
        "auc": reference.roc_auc_score(y, p),
        "average precision": reference.average_precision_score(y, p),
        "brier": np.mean((p - y) ** 2),
        "log loss": reference.log_loss(y, np.clip(p, 1e-7, 1 - 1e-7)),
        "r2": 1 - np.sum((z - p) ** 2) / np.sum((z - z.mean()) ** 2) if np.ptp(z) else np.nan,
    }
    for name, value in ours.items():
        assert float(value) == pytest.approx(theirs[name], rel=1e-6, abs=1e-9, nan_ok=True), name
    if np.ptp(p) > 0 and np.ptp(z) > 0:
        rho = metrics.spearman(other, scores, weights=weights)
        assert float(rho) == pytest.approx(stats.spearmanr(p, z).statistic, abs=1e-9)


@given(weighted_rows(), st.integers(0, 2**32 - 1))
def test_many_weightings_at_once_give_what_each_gives_alone(rows, seed):
    labels, scores, other, _ = rows
    generator = np.random.default_rng(seed)
    weights = generator.integers(0, 3, size=(5, len(labels))).astype(float)
    strata = generator.integers(0, 2, size=len(labels))
    for together, alone in [
        (
            metrics.auc(labels, scores, weights=weights, strata=strata),
            [metrics.auc(labels, scores, weights=w, strata=strata) for w in weights],
        ),
        (
            metrics.spearman(other, scores, weights=weights, strata=strata),
            [metrics.spearman(other, scores, weights=w, strata=strata) for w in weights],
        ),
        (
            metrics.average_precision(labels, scores, weights=weights, strata=strata),
            [metrics.average_precision(labels, scores, weights=w, strata=strata) for w in weights],
        ),
        (
            metrics.r_squared(other, scores, weights=weights),
            [metrics.r_squared(other, scores, weights=w) for w in weights],
        ),
    ]:
        assert together.shape == (5,)
        np.testing.assert_allclose(together, np.array(alone), rtol=1e-9, atol=1e-9)


def test_strata_compare_only_rows_of_the_same_stratum():
    labels = np.array([True, False, True, False])
    scores = np.array([0.2, 0.1, 0.9, 0.8])
    strata = np.array([0, 0, 1, 1])
    assert float(metrics.auc(labels, scores)) == 0.75
    assert float(metrics.auc(labels, scores, strata=strata)) == 1.0


def test_a_constant_by_stratum_ranks_nothing():
    labels = np.array([True, False, True, False, False, False])
    constant = np.array([0.2, 0.2, 0.2, 0.6, 0.6, 0.6])
    strata = np.array([0, 0, 0, 1, 1, 1])
    truth = np.arange(6.0)
    assert float(metrics.auc(labels, constant)) < 0.5, "pooled, the artefact that strata avoid"
    assert float(metrics.auc(labels, constant, strata=strata)) == 0.5
    assert float(metrics.spearman(truth, constant, strata=strata)) == 0.0


def test_one_class_has_no_auc():
    assert np.isnan(metrics.auc(np.ones(3, dtype=bool), np.arange(3.0)))


def test_r_squared_of_the_mean_is_zero_and_of_a_constant_truth_undefined():
    truth = np.array([1.0, 2.0, 6.0])
    assert float(metrics.r_squared(truth, np.full(3, 3.0))) == pytest.approx(0.0)
    assert np.isnan(metrics.r_squared(np.full(3, 0.1), truth))


@given(weighted_rows())
def test_calibration_bins_hold_every_row_once(rows):
    labels, scores, _, _ = rows
    bins = metrics.calibration_bins(labels, scores, bins=5)
    assert 1 <= len(bins) <= 5
    assert sum(b.n for b in bins) == len(labels)
    assert sum(b.n * b.observed for b in bins) == pytest.approx(labels.sum())
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
