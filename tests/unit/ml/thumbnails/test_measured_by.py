"""Measurements that a model did not learn from are refused."""

from dataclasses import replace

import numpy as np
import pytest

from ml.artifacts import ModelCard
from ml.errors import LearningError
from ml.thumbnails.data.rows import Features
from ml.thumbnails.features.catalogue import MEASUREMENT_VERSION
from tests.support.image_features import drawn_features


@pytest.fixture
def features():
    images = np.random.default_rng(0).integers(0, 256, (3, 90, 160, 3), dtype=np.uint8)
    known = drawn_features(images)
    return Features(["a", "b", "c"], np.ones(3), images, {}, known)


def card(**config):
    return ModelCard(dataset="d", seed=0, folds=2, threshold=100.0, config=config)


def test_a_model_takes_the_measurements_it_learned_from(features):
    features.check_measured(card(backbone="drawn", measurements=MEASUREMENT_VERSION))
    features.take(np.array([0])).check_measured(
        card(backbone="drawn", measurements=MEASUREMENT_VERSION)
    )


@pytest.mark.parametrize("config", [{}, {"measurements": MEASUREMENT_VERSION + 1}])
def test_others_are_refused_and_the_message_says_what_to_do(features, config):
    with pytest.raises(LearningError, match="tubegrader models train") as caught:
        features.check_measured(card(backbone="drawn", **config))
    assert caught.value.reason == "measurementsOther"


def test_kept_measurements_of_version_1_serve_only_their_models(features):
    old = replace(features, image_features=replace(features.image_features, measured_by=1))
    old = old.take(np.array([1, 2]))
    old.check_measured(card(backbone="drawn"))  # an earlier release's does not say
    with pytest.raises(LearningError):
        old.check_measured(card(backbone="drawn", measurements=MEASUREMENT_VERSION))
