import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import LearningError
from ml.evaluation.splits import assign_folds, fold_of, fold_pairs, folds_of


@given(st.text(min_size=1), st.integers(), st.integers(3, 8))
def test_a_fold_depends_on_nothing_but_channel_seed_and_count(channel, seed, folds):
    fold = fold_of(channel, seed=seed, folds=folds)
    assert 0 <= fold < folds
    assert folds_of(["other", channel], seed=seed, folds=folds)[1] == fold


def test_channels_spread_over_the_folds():
    counts = np.bincount(folds_of([f"UC{i}" for i in range(4000)], seed=0, folds=4))
    assert counts.min() > 900


def test_another_seed_deals_the_channels_anew():
    channels = [f"UC{i}" for i in range(100)]
    assert (folds_of(channels, seed=0, folds=4) != folds_of(channels, seed=1, folds=4)).any()


def test_too_few_channels_say_how_many_are_needed():
    with pytest.raises(LearningError, match="at least 2 channels") as caught:
        assign_folds(["UC1"] * 50, seed=0, folds=4)
    assert caught.value.reason == "tooFewChannels"


def test_two_folds_are_too_few_for_pairs():
    with pytest.raises(LearningError, match="at least 3"):
        fold_of("UC1", seed=0, folds=2)


def test_pairs_are_all_pairs():
    assert fold_pairs(4) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
