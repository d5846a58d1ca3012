"""The whole registry, held to one behaviour, trained once on a small drawn dataset."""

import json

import numpy as np
import pytest

from ml.errors import LearningCancelledError
from ml.registry import load_rung, rung_names
from ml.splits import fold_pairs, folds_of
from ml.views.evaluation import METRICS, evaluate
from ml.views.ladder import dataset_images, train_ladder
from ml.views.rung import Features
from tests.support.learning import TINY, draw


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return draw(seed=1, effect=0.3).write(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def images(dataset):
    return dataset_images(dataset)


@pytest.fixture(scope="module")
def features(dataset, images):
    return Features.of_table(dataset.table, images)


@pytest.fixture(scope="module")
def ladder(dataset, images):
    return train_ladder(dataset, images, TINY)


@pytest.fixture(scope="module")
def reloaded(ladder, dataset, tmp_path_factory):
    evaluation = evaluate(dataset, ladder.out_of_fold, resamples=50).as_json()
    folders = ladder.with_metrics(evaluation["rungs"]).save(tmp_path_factory.mktemp("models"))
    return {name: load_rung(folder) for name, folder in folders.items()}


@pytest.fixture(params=["trained", "reloaded"])
def rungs(request, ladder, reloaded):
    return ladder.rungs if request.param == "trained" else reloaded


def same(first, second):
    np.testing.assert_array_equal(first.p_over, second.p_over)
    np.testing.assert_array_equal(first.log_views_per_day, second.log_views_per_day)


@pytest.mark.parametrize("name", rung_names())
class TestEveryRung:
    def test_predicts_a_probability_and_a_finite_number_a_row(self, rungs, name, features):
        predictions = rungs[name].predict(features)
        assert predictions.p_over.shape == predictions.log_views_per_day.shape == (len(features),)
        assert ((predictions.p_over >= 0) & (predictions.p_over <= 1)).all()
        assert np.isfinite(predictions.log_views_per_day).all()

    def test_predicts_the_same_twice(self, rungs, name, features):
        same(rungs[name].predict(features), rungs[name].predict(features))

    def test_scores_a_row_the_same_alone_as_among_others(self, rungs, name, features):
        rows = np.array([200, 3, 77])
        together, few = rungs[name].predict(features), rungs[name].predict(features.take(rows))
        np.testing.assert_allclose(few.p_over, together.p_over[rows], atol=1e-5)
        np.testing.assert_allclose(
            few.log_views_per_day, together.log_views_per_day[rows], atol=1e-5
        )

    def test_scores_new_channels_hidden_counts_and_no_rows_at_all(self, rungs, name, features):
        new = Features(["UCnew"] * 2, np.array([np.nan, 0.0]), features.thumbnails[:2])
        assert np.isfinite(rungs[name].predict(new).log_views_per_day).all()
        nothing = features.take(np.array([], dtype=np.int64))
        assert rungs[name].predict(nothing).p_over.shape == (0,)

    def test_scores_its_training_rows_out_of_fold(self, rungs, name, features, ladder):
        table = ladder.out_of_fold.to_pylist()
        expected = [row["p_over"] for row in table if row["rung"] == name]
        np.testing.assert_array_equal(rungs[name].predict(features).p_over, expected)

    def test_says_where_it_comes_from(self, rungs, name, dataset):
        card = rungs[name].card
        assert card.dataset == dataset.description.id
        assert (card.seed, card.folds, card.threshold) == (3, 4, 100.0)
        assert bool(card.preprocessing) == rungs[name].needs_thumbnails


def test_saved_metrics_come_back(reloaded):
    assert 0.5 < reloaded["subscribers"].card.metrics["auc"]["value"] <= 1


def test_the_same_seed_trains_the_same_bits(ladder, dataset, images, features):
    again = train_ladder(dataset, images, TINY)
    for name in rung_names():
        same(ladder.rungs[name].predict(features), again.rungs[name].predict(features))


def test_no_member_was_trained_on_the_folds_it_leaves_out(ladder, dataset):
    folds = folds_of(dataset.strings("channel_id"), seed=TINY.seed, folds=TINY.folds)
    recorded = ladder.ensemble.training_rows
    assert sorted(recorded) == fold_pairs(TINY.folds)
    for pair, rows in recorded.items():
        assert sorted(set(folds[rows])) == sorted(set(range(TINY.folds)) - set(pair))


def test_no_label_of_a_fold_reaches_what_scores_that_fold(tmp_path):
    drawn = draw(seed=2, channels=24, videos=5)
    channels = drawn.rows["channel_id"].to_pylist()
    inside = folds_of(channels, seed=TINY.seed, folds=TINY.folds) == 2
    views = np.array(drawn.rows["views_per_day"].to_pylist())
    nonsense = np.where(inside, np.random.default_rng(0).permutation(views)[::-1], views)
    altered = drawn.replace("views_per_day", list(nonsense))
    predictions = []
    for number, source in enumerate([drawn, altered]):
        dataset = source.write(tmp_path / str(number))
        table = train_ladder(dataset, dataset_images(dataset), TINY).out_of_fold
        predictions.append([row for row in table.to_pylist() if row["fold"] == 2])
    assert predictions[0] == predictions[1]
    assert len(predictions[0]) == inside.sum() * len(rung_names())


def test_the_evaluation_is_json_and_speaks_of_the_same_rows(ladder, dataset):
    result = evaluate(dataset, ladder.out_of_fold, resamples=200, seed=1).as_json()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert tuple(result["rungs"]) == rung_names()
    assert (result["n_videos"], result["n_channels"]) == (240, 24)
    for rung in result["rungs"].values():
        for metric in METRICS:
            assert rung[metric]["low"] <= rung[metric]["value"] <= rung[metric]["high"]
    assert result["rungs"]["constant"]["auc"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    difference = (
        result["rungs"]["subscribers+thumbnail"]["r2"]["value"]
        - result["rungs"]["subscribers"]["r2"]["value"]
    )
    assert result["beyond_subscribers"]["delta_r2"]["value"] == pytest.approx(difference)


def test_progress_counts_up_to_the_total(dataset, images):
    seen = []
    train_ladder(dataset, images, TINY, lambda step, total, _: seen.append((step, total)))
    total = seen[0][1]
    assert seen == [(step, total) for step in range(1, total + 1)]


def test_training_stops_at_the_next_step_when_cancelled(dataset, images):
    steps = []
    with pytest.raises(LearningCancelledError):
        train_ladder(
            dataset,
            images,
            TINY,
            progress=lambda step, *_: steps.append(step),
            cancelled=lambda: len(steps) >= 5,
        )
    assert steps == [1, 2, 3, 4, 5]
