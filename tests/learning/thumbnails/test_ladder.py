"""The whole registry, held to one behaviour, trained once on a small drawn dataset."""

import json
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from ml.artifacts import ModelCard
from ml.errors import LearningCancelledError, LearningError
from ml.evaluation.metrics import r_squared
from ml.evaluation.splits import fold_of, fold_pairs, folds_of
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.evaluation.evaluate import METRICS, evaluate
from ml.thumbnails.evaluation.forward import forward_in_time
from ml.thumbnails.models.ladder import dataset_images, train_ladder
from ml.thumbnails.models.measurements import FeaturesRung
from ml.thumbnails.models.registry import comparisons, load_rung, rung_names
from ml.thumbnails.models.rung import TrainingData
from ml.thumbnails.models.tabular import HistoryRung
from tests.support.image_features import drawn_features
from tests.support.learning import TINY, draw

WHOLE = replace(TINY, backbone=True)
"""With image features every rung can be trained."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return draw(seed=1, effect=0.3).write(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def images(dataset):
    return dataset_images(dataset)


@pytest.fixture(scope="module")
def features(dataset, images):
    return replace(Features.of_table(dataset.table, images), image_features=drawn_features(images))


@pytest.fixture(scope="module")
def ladder(dataset, images):
    return train_ladder(dataset, images, WHOLE, image_features=drawn_features(images))


@pytest.fixture(scope="module")
def reloaded(ladder, dataset, tmp_path_factory):
    evaluation = evaluate(dataset, ladder.out_of_fold, resamples=50).as_json()
    folders = ladder.with_metrics(evaluation["rungs"]).save(tmp_path_factory.mktemp("models"))
    return {name: load_rung(folder) for name, folder in folders.items()}


@pytest.fixture(params=["trained", "reloaded"])
def rungs(request, ladder, reloaded):
    return ladder.rungs if request.param == "trained" else reloaded


def group_in(fold):
    """Return a split group that falls into a fold."""
    names = (f"group {number}" for number in count())
    return next(n for n in names if fold_of(n, seed=TINY.seed, folds=TINY.folds) == fold)


def same(first, second):
    np.testing.assert_array_equal(first.probability_over, second.probability_over)
    np.testing.assert_array_equal(first.log10_views_per_day, second.log10_views_per_day)


@pytest.mark.parametrize("name", rung_names())
class TestEveryRung:
    def test_predicts_a_probability_and_a_finite_number_a_row(self, rungs, name, features):
        predictions = rungs[name].predict(features)
        assert (
            predictions.probability_over.shape
            == predictions.log10_views_per_day.shape
            == (len(features),)
        )
        assert ((predictions.probability_over >= 0) & (predictions.probability_over <= 1)).all()
        assert np.isfinite(predictions.log10_views_per_day).all()

    def test_predicts_the_same_twice(self, rungs, name, features):
        same(rungs[name].predict(features), rungs[name].predict(features))

    def test_scores_a_row_the_same_alone_as_among_others(self, rungs, name, features):
        rows = np.array([200, 3, 77])
        together, few = rungs[name].predict(features), rungs[name].predict(features.take(rows))
        np.testing.assert_allclose(few.probability_over, together.probability_over[rows], atol=1e-5)
        np.testing.assert_allclose(
            few.log10_views_per_day, together.log10_views_per_day[rows], atol=1e-5
        )

    def test_scores_new_channels_hidden_counts_and_no_rows_at_all(self, rungs, name, features):
        few = features.take(np.arange(2))
        new = Features(
            ["UCnew"] * 2,
            np.array([np.nan, 0.0]),
            few.thumbnails,
            image_features=few.image_features,
        )
        assert np.isfinite(rungs[name].predict(new).log10_views_per_day).all()
        nothing = features.take(np.array([], dtype=np.int64))
        assert rungs[name].predict(nothing).probability_over.shape == (0,)

    def test_a_channel_that_no_model_saw_takes_the_mean_of_all(self, rungs, name, features):
        some = features.take(np.arange(6))
        of_a_fold = [
            rungs[name].predict(replace(some, split_groups=[group_in(fold)] * 6))
            for fold in range(TINY.folds)
        ]
        # Beside rows that are in a fold, whose model alone scores them still.
        groups = [None, *some.split_groups[1:3], None, *some.split_groups[4:5], None]
        found = rungs[name].predict(replace(some, split_groups=groups))
        own = rungs[name].predict(some)
        new = np.array([group is None for group in groups])
        for part in ("probability_over", "log10_views_per_day"):
            mean = np.mean([getattr(each, part) for each in of_a_fold], axis=0)
            expected = np.where(new, mean, getattr(own, part))
            np.testing.assert_allclose(getattr(found, part), expected, atol=1e-5)

    def test_scores_its_training_rows_out_of_fold(self, rungs, name, features, ladder):
        table = ladder.out_of_fold.to_pylist()
        expected = [row["probability_over"] for row in table if row["rung"] == name]
        # A head's whitening and slopes are multiplied out when it is saved.
        np.testing.assert_allclose(
            rungs[name].predict(features).probability_over, expected, rtol=1e-9
        )

    def test_says_where_it_comes_from(self, rungs, name, dataset):
        card = rungs[name].card
        assert card.dataset == dataset.description.id
        assert (card.seed, card.folds, card.threshold) == (3, 4, 100.0)
        assert bool(card.preprocessing) == rungs[name].spec.sees_thumbnails


def test_saved_metrics_come_back(reloaded):
    assert 0.5 < reloaded["subscribers"].card.metrics["auc"]["value"] <= 1


def test_the_same_seed_trains_the_same_bits(ladder, dataset, images, features):
    again = train_ladder(dataset, images, WHOLE, image_features=drawn_features(images))
    for name in rung_names():
        same(ladder.rungs[name].predict(features), again.rungs[name].predict(features))


def test_no_member_was_trained_on_the_folds_it_leaves_out(ladder, dataset):
    folds = folds_of(dataset.strings("channel_id"), seed=TINY.seed, folds=TINY.folds)
    recorded = ladder.rungs["thumbnail"].pictures.ensemble.training_rows
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
        images = dataset_images(dataset)
        table = train_ladder(
            dataset, images, WHOLE, image_features=drawn_features(images)
        ).out_of_fold
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


def test_without_image_features_the_rungs_that_need_them_are_absent_with_a_reason(dataset, images):
    pure = train_ladder(dataset, images, TINY)
    assert pure.absent == {"+features": "notMeasured", "lite0+ridge": "notLookedAt"}
    assert tuple(pure.rungs) == tuple(n for n in rung_names() if n not in pure.absent)
    assert set(pure.out_of_fold["rung"].to_pylist()) == set(pure.rungs)


def test_without_measurements_only_the_rung_of_measurements_is_absent(dataset, images):
    image_features = drawn_features(images, measured=False)
    unmeasured = train_ladder(dataset, images, WHOLE, image_features=image_features)
    assert unmeasured.absent == {"+features": "notMeasured"}
    assert set(evaluate(dataset, unmeasured.out_of_fold, resamples=50).rungs) == set(
        unmeasured.rungs
    )


def test_measurements_tell_what_was_drawn_and_nothing_where_nothing_was(tmp_path):
    gains = {}
    for effect in (0.6, 0.0):
        drawn = draw(seed=11, channels=40, videos=6, effect=effect, hidden=0.0)
        dataset = drawn.write(tmp_path / str(effect))
        image_features = drawn_features(dataset_images(dataset))
        features = replace(Features.of_table(dataset.table), image_features=image_features)
        targets = Targets(dataset.log10_views_per_day, dataset.is_over)
        folds = folds_of(features.split_groups, seed=3, folds=4)
        card = ModelCard(dataset.description.id, seed=3, folds=4, threshold=100.0)
        r2 = {}
        for kind in (HistoryRung, FeaturesRung):
            predicted = kind.fit(TrainingData(features, targets, folds, card)).predict(features)
            r2[kind.spec.name] = r_squared(
                targets.log10_views_per_day, predicted.log10_views_per_day
            )
        gains[effect] = r2["+features"] - r2["+history"]
    assert gains[0.6] > 0.1
    assert abs(gains[0.0]) < 0.02


def test_a_thumbnail_that_was_not_measured_takes_the_median(ladder, features):
    rung = ladder.rungs["+features"]
    rows = np.arange(5)
    few = features.take(rows)
    measured = few.image_features.measurements.copy()
    measured[2] = np.nan
    holed = replace(few, image_features=replace(few.image_features, measurements=measured))
    found, whole = rung.predict(holed), rung.predict(few)
    assert np.isfinite(found.log10_views_per_day).all()
    kept = rows != 2
    np.testing.assert_array_equal(found.probability_over[kept], whole.probability_over[kept])


def test_image_features_of_another_network_are_refused(ladder, features):
    other = replace(features, image_features=replace(features.image_features, backbone="another"))
    for name in ("lite0+ridge", "thumbnail"):
        with pytest.raises(LearningError) as caught:
            ladder.rungs[name].predict(other)
        assert caught.value.reason == "backboneWeightsOther"


def test_measurements_of_another_version_are_refused(ladder, features):
    other = replace(features, image_features=replace(features.image_features, measured_by=1))
    rung = ladder.rungs["+features"]
    with pytest.raises(LearningError) as caught:
        rung.predict(other)
    assert caught.value.reason == "measurementsOther"
    # A model of an earlier release, whose card does not say.
    silent = replace(rung, card=replace(rung.card, config={"backbone": "drawn"}))
    assert np.isfinite(silent.predict(other).probability_over).all()
    with pytest.raises(LearningError) as caught:
        silent.predict(features)
    assert caught.value.reason == "measurementsOther"


def test_forward_in_time_rungs_with_pictures_are_refitted_on_image_features(
    ladder, dataset, features
):
    blind = evaluate(dataset, ladder.out_of_fold, resamples=50).forward
    assert not blind.with_pictures
    assert "thumbnail" not in blind.rungs
    found = evaluate(
        dataset, ladder.out_of_fold, resamples=50, image_features=features.image_features
    ).forward
    assert found.with_pictures
    assert set(found.rungs) == set(rung_names()) - {"constant"}
    for rung in blind.rungs:
        assert found.rungs[rung] == blind.rungs[rung]
    (gain,) = [d for d in found.differences if d["rung"] == "subscribers+age+thumbnail"]
    r2 = {rung: found.rungs[rung]["r2"] for rung in found.rungs}
    expected = r2["subscribers+age+thumbnail"] - r2["subscribers+age"]
    assert gain["delta_r2"]["value"] == pytest.approx(expected)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False)) == found.as_json()


def test_forward_in_time_image_features_find_what_was_drawn(tmp_path):
    dataset = draw(seed=2, channels=40, effect=0.6).write(tmp_path)
    folds = folds_of(dataset.strings("split_group"), seed=3, folds=4)
    found = forward_in_time(
        dataset, folds, image_features=drawn_features(dataset_images(dataset)), steps=comparisons()
    )
    gains = {d["rung"]: d["delta_r2"]["low"] for d in found.differences}
    assert gains["subscribers+age+thumbnail"] > 0
    assert gains["+features"] > 0


@pytest.mark.parametrize("name", ["+features", "lite0+ridge"])
def test_no_label_of_a_fold_chooses_the_penalty_that_judges_it(ladder, dataset, features, name):
    targets = Targets(dataset.log10_views_per_day, dataset.is_over)
    folds = folds_of(features.split_groups, seed=TINY.seed, folds=TINY.folds)
    order = np.random.default_rng(0).permutation(np.flatnonzero(folds == 1))
    rows = np.arange(len(folds))
    rows[folds == 1] = order
    rung = ladder.rungs[name]
    other = type(rung).fit(TrainingData(features, targets.take(rows), folds, rung.card))
    np.testing.assert_array_equal(other.parts[1].penalties, rung.parts[1].penalties)
    np.testing.assert_array_equal(other.parts[1].linear, rung.parts[1].linear)
    np.testing.assert_array_equal(other.parts[1].logistic, rung.parts[1].logistic)
    assert not np.array_equal(other.parts[0].linear, rung.parts[0].linear)
