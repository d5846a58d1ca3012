"""Whether a challenger is promoted: the statistics alone, on drawn numbers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import LearningError
from ml.evaluation.champion_challenger import Rules, newest_window
from ml.evaluation.splits import fold_of
from ml.thumbnails.data.rows import Predictions
from ml.thumbnails.evaluation.champion_challenger import (
    choose_rung,
    evaluate_challenger,
    fair_groups,
)
from tests.support.learning import draw

QUICK = Rules(resamples=300)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """240 videos of 24 channels."""
    return draw(seed=4).write(tmp_path_factory.mktemp("dataset"))


def predicted(dataset, *, noise: float, seed: int = 0, rows=slice(None)) -> Predictions:
    """Return the truth with so much noise on it: of the size of a model's error."""
    generator = np.random.default_rng(seed)
    log_views = dataset.log10_views_per_day + generator.normal(0, noise, len(dataset))
    logits = 2 * (log_views - np.log10(101))
    return Predictions((1 / (1 + np.exp(-logits)))[rows], log_views[rows])


def test_identical_models_differ_by_nothing_and_the_challenger_passes(dataset):
    same = predicted(dataset, noise=0.4)
    result = evaluate_challenger(dataset, same, same, rules=QUICK)
    assert (result.passes, result.ground) == (True, "noWorse")
    for part in (result, *result.parts):
        for measure in part.measures:
            found = measure.difference
            assert (found.value, found.low, found.high) == (0, 0, 0)
    assert "no worse" in result.sentence(rows="videos", clusters="channels")


def test_a_clearly_worse_challenger_is_refused_and_the_same_one_as_champion_is_replaced(dataset):
    good, bad = predicted(dataset, noise=0.3), predicted(dataset, noise=1.0, seed=1)
    refused = evaluate_challenger(dataset, good, bad, rules=QUICK)
    assert (refused.passes, refused.ground) == (False, "worse")
    won = evaluate_challenger(dataset, bad, good, rules=QUICK)
    assert (won.passes, won.ground) == (True, "better")
    for there, back in zip(refused.measures, won.measures, strict=True):
        assert there.difference.value == pytest.approx(-back.difference.value)


def test_who_is_worse_by_more_than_the_margin_slips_although_the_interval_holds_zero(dataset):
    # Half the channels gain what the others lose, but for a little.
    base = predicted(dataset, noise=0.5)
    truth = dataset.log10_views_per_day
    number = np.array([int(name[2:]) for name in dataset.strings("channel_id")])
    towards = np.where(number % 2 == 0, 0.5, -0.36)
    other = base.log10_views_per_day + towards * (truth - base.log10_views_per_day)
    result = evaluate_challenger(
        dataset, base, Predictions(base.probability_over, other), rules=QUICK
    )
    r2 = result.measures[0]
    assert r2.difference.low < -0.01 < 0 < r2.difference.high
    assert r2.difference.value < -0.01
    assert (result.passes, result.ground) == (False, "slips")
    assert "margin of R² 0.01" in result.sentence(rows="videos", clusters="channels")


def test_a_part_alone_can_refuse_a_challenger_that_is_better_for_all_others(dataset):
    champion, better = predicted(dataset, noise=0.6), predicted(dataset, noise=0.2, seed=1)
    small = np.nan_to_num(dataset.subscriber_count, nan=1e9) < 1e4
    log_views = np.where(small, better.log10_views_per_day - 2.2, dataset.log10_views_per_day)
    challenger = Predictions(better.probability_over, log_views)
    fewer = dataset.subscriber_count
    assert 20 < small.sum() < 130
    assert len(fewer) == 240
    result = evaluate_challenger(
        dataset, champion, challenger, rules=Rules(resamples=300, part_clusters=5)
    )
    assert not result.passes
    worse = [part for part in result.parts if any(m.is_worse for m in part.measures)]
    assert {part.by for part in worse} >= {"subscribers"}


def test_parts_with_too_few_channels_are_named_but_not_judged(dataset):
    same = predicted(dataset, noise=0.4)
    result = evaluate_challenger(dataset, same, same, rules=Rules(resamples=100, part_clusters=9))
    evaluated = [part for part in result.parts if part.measures]
    assert evaluated
    assert len(evaluated) < len(result.parts)
    assert all(part.n_clusters >= 9 and part.n_rows >= 20 for part in evaluated)
    assert result.part_level == pytest.approx(1 - 0.05 / (2 * len(evaluated)))
    shown = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert [part["judged"] for part in shown["parts"]].count(True) == len(evaluated)


def test_equally_good_challengers_are_rarely_refused_for_their_intervals(dataset):
    """At 95 % an interval of two measures lies on the worse side in a few of a hundred draws."""
    grounds = []
    for number in range(40):
        first, second = (predicted(dataset, noise=0.4, seed=s) for s in (number, 1000 + number))
        grounds.append(
            evaluate_challenger(dataset, first, second, rules=Rules(resamples=200)).ground
        )
    assert sum(ground in ("worse", "worseInPart") for ground in grounds) <= 6


def test_a_model_that_predicts_no_number_cannot_contest(dataset):
    good = predicted(dataset, noise=0.4)
    broken = Predictions(np.full(len(dataset), np.nan), good.log10_views_per_day)
    with pytest.raises(LearningError, match="NaN") as caught:
        evaluate_challenger(dataset, good, broken, rules=QUICK)
    assert caught.value.reason == "notFinite"


def constant(dataset) -> Predictions:
    rows = len(dataset)
    mean = dataset.log10_views_per_day.mean()
    return Predictions(np.full(rows, dataset.is_over.mean()), np.full(rows, mean))


def test_the_simplest_rung_within_one_error_of_the_best_contests(dataset):
    rungs = {
        "constant": constant(dataset),
        "subscribers": predicted(dataset, noise=0.4),
        "thumbnail": predicted(dataset, noise=3.0, seed=1),
        "subscribers+thumbnail": predicted(dataset, noise=0.4, seed=2),
    }
    choice = choose_rung(dataset, rungs, seed=1)
    assert choice.rung == "subscribers"
    assert [c.rung for c in choice.candidates] == list(rungs)
    assert not choice.candidates[0].is_sound
    assert choice.rung in choice.sentence()
    rungs["subscribers+thumbnail"] = predicted(dataset, noise=0.05, seed=2)
    assert choose_rung(dataset, rungs, seed=1).rung == "subscribers+thumbnail"


def test_where_nothing_beats_the_constant_nothing_contests(dataset):
    dealt = np.random.default_rng(0).permutation(len(dataset))
    rungs = {
        "constant": constant(dataset),
        "subscribers": predicted(dataset, noise=0.4, rows=dealt),
    }
    choice = choose_rung(dataset, rungs, seed=1)
    assert (choice.rung, choice.best) == (None, None)
    assert "constant" in choice.sentence()
    with pytest.raises(LearningError, match="constant"):
        choose_rung(dataset, {"subscribers": rungs["subscribers"]}, seed=1)


@given(channels=st.integers(2, 40), known=st.floats(0, 1), seed=st.integers(0, 200))
def test_an_older_model_is_asked_by_a_fold_that_saw_no_channel_of_the_group(channels, known, seed):
    """Groups have grown since: channels are new, and some share a picture with others."""
    generator = np.random.default_rng(seed)
    names = [f"UC{number}" for number in range(channels)]
    learned = {name: name for name in names if generator.random() < known}
    # A few pairs were one group before, more are now.
    for first, second in generator.choice(names, (channels // 8, 2)):
        if first in learned and second in learned:
            learned[second] = learned[first]
    group_of = {name: str(generator.choice(names[: channels // 2 + 1])) for name in names}
    rows = [str(name) for name in generator.choice(names, 60)]
    groups = [group_of[name] for name in rows]
    asked, fair = fair_groups(rows, groups, learned, seed=seed, folds=4)
    for row, name in enumerate(rows):
        together = {n for n in rows if group_of[n] == group_of[name] and n in learned}
        folds = {fold_of(learned[n], seed=seed, folds=4) for n in together}
        assert fair[row] == (len(folds) <= 1)
        if fair[row] and folds:
            assert {fold_of(asked[row], seed=seed, folds=4)} == folds


@given(
    rows=st.integers(1, 300),
    channels=st.integers(1, 60),
    share=st.floats(0.05, 1.0),
    seed=st.integers(0, 99),
)
def test_the_window_is_the_newest_rows_and_as_long_as_asked(rows, channels, share, seed):
    generator = np.random.default_rng(seed)
    moments = generator.integers(0, 50, rows).astype(float)
    clusters = [f"c{number}" for number in generator.integers(0, channels, rows)]
    rules = Rules(share=share, most_rows=200)
    window = newest_window(moments, clusters, rules)
    if rows < rules.fewest_rows or len(set(clusters)) < rules.fewest_clusters:
        assert window is None
        return
    assert window is not None
    assert list(window) == sorted(set(window.tolist()))
    assert len(window) >= min(rules.fewest_rows, rows)
    assert len({clusters[row] for row in window}) >= rules.fewest_clusters
    outside = np.setdiff1d(np.arange(rows), window)
    assert not len(outside) or moments[outside].max() <= moments[window].min()
