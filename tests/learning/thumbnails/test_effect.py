"""The pipeline finds an effect that was drawn into the thumbnails, and none where none was."""

from dataclasses import replace

import pytest

from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.models.ladder import dataset_images, train_ladder
from tests.support.learning import TINY, draw

CONFIG = replace(TINY, cnn=replace(TINY.cnn, epochs=8))


def evaluation(directory, *, seed, effect):
    dataset = draw(seed=seed, channels=40, videos=12, effect=effect, hidden=0.0).write(directory)
    ladder = train_ladder(dataset, dataset_images(dataset), CONFIG)
    return evaluate(dataset, ladder.out_of_fold, resamples=1000, seed=0)


def test_a_planted_effect_is_found(tmp_path):
    found = evaluation(tmp_path, seed=5, effect=0.5)
    assert found.headline.delta_r2.low > 0
    assert found.headline.delta_auc.value > 0
    assert found.sentence.startswith("The thumbnail adds ΔR² 0.")
    assert found.permutation.p_value < 0.01
    assert found.permutation.null_high < found.headline.delta_r2.value


@pytest.mark.parametrize("seed", [6, pytest.param(7, marks=pytest.mark.slow)])
def test_an_absent_effect_is_not_found(tmp_path, seed):
    found = evaluation(tmp_path, seed=seed, effect=0.0)
    assert found.headline.delta_r2.low <= 0
    assert found.sentence.startswith(
        "No effect of the thumbnail beyond subscribers, age and format"
    )
