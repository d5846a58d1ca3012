"""Within-channel AUC, dealt thumbnails, slices, forward in time: on drawn figures, no torch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, roc_auc_score

from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.splits import folds_of
from ml.thumbnails.evaluation.forward import forward_in_time
from ml.thumbnails.evaluation.permutation import permuted_contribution
from ml.thumbnails.evaluation.slices import slices_of
from ml.thumbnails.stacking.ridge import inner_folds
from tests.support.learning import draw


@given(st.integers(0, 10_000))
def test_within_channel_auc_is_the_mean_over_pairs_of_one_channel(seed):
    generator = np.random.default_rng(seed)
    channels = generator.integers(0, 4, 24)
    labels, scores = generator.random(24) < 0.5, generator.integers(0, 5, 24).astype(float)
    wins = [
        (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
        for i in range(24)
        for j in range(24)
        if labels[i] and not labels[j] and channels[i] == channels[j]
    ]
    found = metrics.within_cluster_auc(labels, scores, channels)
    np.testing.assert_allclose(found, np.mean(wins) if wins else np.nan)


def test_a_channel_drawn_twice_is_two_channels_not_one_large_one():
    labels = np.array([True, False, True, False])
    scores, channels = np.array([1.0, 0.0, 0.0, 1.0]), ["a", "a", "b", "b"]
    weights = np.array([[1, 1, 1, 1], [3, 3, 1, 1], [1, 1, 0, 0]])
    found = metrics.within_cluster_auc(labels, scores, channels, weights=weights)
    np.testing.assert_allclose(found, [0.5, 0.75, 1.0])


def test_mean_absolute_error_is_that_of_scikit_learn():
    truth, predicted = np.array([1.0, 4.0, 2.0]), np.array([2.0, 2.0, 2.0])
    found = metrics.mean_absolute_error(truth, predicted)
    assert found == pytest.approx(mean_absolute_error(truth, predicted))


def permuted(truth, part, channels, seed=0):
    folds = np.array([int(channel) % 3 for channel in channels])
    without = np.zeros(len(truth))
    return permuted_contribution(truth, without, without + part, channels, folds, seed=seed)


def test_a_part_that_knows_its_video_stands_out_of_the_dealings():
    generator = np.random.default_rng(0)
    channels = [str(row // 5) for row in range(200)]
    effect = generator.normal(size=200)
    found = permuted(effect + generator.normal(size=200), effect / 2, channels)
    assert found.p_value < 0.01
    assert found.delta_r2 > found.null_high > found.null_mean
    assert found.videos_within_channel == 200


def test_a_part_that_knows_only_its_channel_does_not_stand_out():
    generator = np.random.default_rng(1)
    channels = [str(row // 5) for row in range(200)]
    of_channel = np.repeat(generator.normal(size=40), 5)
    found = permuted(of_channel + generator.normal(size=200), of_channel, channels)
    assert found.delta_r2 > 0.2
    assert found.p_value == 1.0


def test_parts_without_meaning_get_a_small_p_as_often_as_they_should():
    small = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        channels = [str(row // 2) if row < 60 else str(row) for row in range(120)]
        found = permuted(generator.normal(size=120), generator.normal(size=120) / 5, channels, seed)
        small += found.p_value <= 0.1
    assert small <= 10  # 4 are expected; 11 or more come in 1 of 800


def test_forward_in_time_equals_scikit_learn_on_the_earlier_half(tmp_path):
    dataset = draw(channels=30, videos=8, hidden=0.0).write(tmp_path)
    folds = folds_of(dataset.strings("split_group"), seed=0, folds=3)
    found = forward_in_time(dataset, folds)
    published = np.array([t.timestamp() for t in dataset.table["published_at"].to_pylist()])
    later = published >= np.median(published)
    x = np.log10(dataset.subscriber_count + 1)[:, None]
    truth, predicted = dataset.log10_views_per_day, np.full(len(dataset), np.nan)
    for fold in range(3):
        learning, judged = ~later & (folds != fold), later & (folds == fold)
        predicted[judged] = LinearRegression().fit(x[learning], truth[learning]).predict(x[judged])
    r2 = metrics.r_squared(truth[later], predicted[later])
    assert found.n_later == later.sum()
    assert found.rungs["subscribers"]["r2"] == pytest.approx(float(r2), abs=1e-4)


def test_forward_in_time_says_nothing_of_a_handful(tmp_path):
    dataset = draw(channels=12, videos=4).write(tmp_path)
    assert forward_in_time(dataset, np.arange(len(dataset)) % 3) is None


def test_forward_in_time_says_nothing_where_one_channel_published_all_that_is_new(tmp_path):
    drawn = draw(channels=12, videos=20)
    table = drawn.write(tmp_path / "as drawn").table.sort_by("video_id")
    order = np.argsort([t.timestamp() for t in table["published_at"].to_pylist()])
    names = np.array(table["channel_id"].to_pylist(), dtype=object)
    names[order[len(order) // 2 :]] = names[order[-1]]
    dataset = drawn.replace("channel_id", names.tolist()).write(tmp_path / "changed")
    assert forward_in_time(dataset, np.arange(len(dataset)) % 3) is None


def test_one_channel_cannot_be_left_out_of_itself():
    with pytest.raises(LearningError, match="left out of itself"):
        inner_folds(["a", "a"], seed=0)
    assert sorted(inner_folds(["a", "b"], seed=0)) == [0, 1]


def test_slices_part_the_videos_and_are_left_out_where_small(tmp_path):
    drawn = draw(channels=30, videos=6)
    formats = ["short", "long"] * 88 + ["live"] * 4
    dataset = drawn.replace("format", formats).write(tmp_path)
    folds = np.arange(len(dataset)) % 3
    generator = np.random.default_rng(0)
    scores = generator.random(len(dataset))
    predicted = {"with": dataset.log10_views_per_day, "without": scores}
    found = slices_of(
        dataset, predicted, {"with": scores, "without": scores}, folds, ("with", "without"), seed=0
    )
    by_format = {part.name: part for part in found if part.by == "format"}
    assert {name: part.n_videos for name, part in by_format.items()} == {"short": 88, "long": 88}
    assert sum(part.n_videos for part in found if part.by == "subscribers") <= len(dataset)
    short = np.array(dataset.strings("format")) == "short"
    assert by_format["short"].rungs["with"]["r2"] == pytest.approx(1)
    assert by_format["short"].delta_r2.low > 0
    one_fold = short & (folds == 0)
    expected = roc_auc_score(dataset.is_over[one_fold], scores[one_fold])
    again = slices_of(
        dataset,
        predicted,
        {"with": scores, "without": scores},
        np.where(folds == 0, 0, np.arange(len(dataset)) + 1),
        ("with", "without"),
        seed=0,
    )
    part = next(each for each in again if each.name == "short")
    assert part.rungs["with"]["auc"] == pytest.approx(expected)
