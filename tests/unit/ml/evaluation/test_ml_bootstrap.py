import numpy as np
import pytest

from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, cluster_bootstrap, cluster_weights, over_trainings


def test_rows_of_a_channel_are_drawn_together():
    clusters = ["a", "b", "a", "c", "b", "b"]
    weights = np.concatenate(list(cluster_weights(clusters, resamples=50, seed=1)))
    assert weights.shape == (50, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)


def test_the_interval_is_that_of_resampled_channel_means():
    generator = np.random.default_rng(0)
    clusters = [f"UC{i // 5}" for i in range(500)]
    effect = np.repeat(generator.normal(size=100), 5)
    result = cluster_bootstrap(
        {"mean": lambda w: w @ effect / w.sum(axis=-1)}, clusters, resamples=2000, seed=0
    )["mean"]
    error = effect[::5].std() / np.sqrt(100)
    assert result.value == pytest.approx(effect.mean())
    assert result.low == pytest.approx(effect.mean() - 1.96 * error, abs=error / 4)
    assert result.high == pytest.approx(effect.mean() + 1.96 * error, abs=error / 4)


def test_differences_are_paired():
    generator = np.random.default_rng(0)
    truth = generator.normal(size=200)
    near = truth + generator.normal(0, 0.5, size=200)
    clusters = [f"UC{i // 2}" for i in range(200)]
    result = cluster_bootstrap(
        {
            "difference": lambda w: (
                metrics.r_squared(truth, near, weights=w)
                - metrics.r_squared(truth, near + 0.0, weights=w)
            )
        },
        clusters,
        resamples=200,
        seed=0,
    )["difference"]
    assert result.low == result.value == result.high == 0


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    clusters = [str(i) for i in range(30)]
    values = np.arange(30.0) ** 2

    def interval(seed):
        metric = {"m": lambda w: w @ values / w.sum(axis=-1)}
        return cluster_bootstrap(metric, clusters, resamples=300, seed=seed)["m"]

    assert interval(5) == interval(5)
    assert interval(5) != interval(6)


def test_one_channel_has_no_interval():
    with pytest.raises(LearningError, match="at least 2"):
        cluster_bootstrap({}, ["UC1"] * 10, seed=0)


def test_a_metric_that_is_mostly_undefined_has_no_interval():
    labels = np.array([True] + [False] * 9)
    result = cluster_bootstrap(
        {"auc": lambda w: metrics.auc(labels, np.arange(10.0), weights=w)},
        [str(i) for i in range(10)],
        resamples=200,
        seed=0,
    )["auc"]
    assert result.as_json() == {"value": 0.0, "low": None, "high": None}


def test_an_interval_is_widened_about_its_value():
    assert Interval(1.0, 0.5, 2.0).widened(2) == Interval(1.0, 0.0, 3.0)
    assert Interval(1.0, np.nan, np.nan).widened(2).as_json() == {
        "value": 1.0,
        "low": None,
        "high": None,
    }


def test_differences_of_few_folds_are_widened_more():
    assert over_trainings(4) == pytest.approx(np.sqrt(1 + 4 / 3))
    assert over_trainings(2) > over_trainings(4) > np.sqrt(2)
