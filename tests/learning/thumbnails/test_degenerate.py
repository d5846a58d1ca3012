"""Input that little or nothing can be learned from."""

from dataclasses import replace

import numpy as np
import pytest

from ml.errors import LearningError
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.rows import Features
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.models.ladder import dataset_images, train_ladder
from ml.thumbnails.models.registry import load_rung, rung_class
from tests.support.learning import TINY, draw

QUICK = replace(TINY, cnn=CnnConfig(widths=(8, 8), epochs=1, batch_size=16))


def train(drawn, directory, config=QUICK, **options):
    dataset = drawn.write(directory, **options)
    return dataset, train_ladder(dataset, dataset_images(dataset), config)


def one_image(drawn):
    image = next(iter(drawn.images))
    return drawn.replace("thumbnail_sha256", [image] * drawn.rows.num_rows)


@pytest.mark.parametrize(
    ("drawn", "options", "reason"),
    [
        (draw(channels=3, videos=1), {}, "tooFewChannels"),
        (draw(channels=1, videos=30), {}, "tooFewChannels"),
        # A fold keeps copies of a picture together, and so here everything.
        (one_image(draw(channels=30, videos=4)), {}, "tooFewChannels"),
        (draw(channels=24, videos=1), {}, "tooFewVideos"),
        (draw(channels=32, videos=4), {"threshold": 1e12}, "oneClass"),
        (draw(channels=32, videos=4), {"threshold": 0.0}, "oneClass"),
    ],
    ids=[
        "three videos",
        "one channel",
        "one image",
        "one video a channel",
        "none over",
        "all over",
    ],
)
def test_too_little_to_learn_from_is_said(tmp_path, drawn, options, reason):
    with pytest.raises(LearningError) as caught:
        train(drawn, tmp_path, **options)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "rare", ["all hidden", "one image a channel", "one over", "no subscribers"]
)
def test_poor_input_gives_finite_results(tmp_path, rare):
    drawn = draw(channels=30, videos=4)
    rows = drawn.rows.num_rows
    threshold = 100.0
    if rare == "all hidden":
        drawn = drawn.replace("subscriber_count", [None] * rows)
    elif rare == "one image a channel":
        pictures = dict(
            zip(
                *(drawn.rows[c].to_pylist() for c in ("channel_id", "thumbnail_sha256")),
                strict=True,
            )
        )
        channels = drawn.rows["channel_id"].to_pylist()
        drawn = drawn.replace("thumbnail_sha256", [pictures[channel] for channel in channels])
    elif rare == "no subscribers":
        drawn = drawn.replace("subscriber_count", [0] * rows)
    else:
        threshold = max(drawn.rows["views_per_day"].to_pylist())
    dataset, ladder = train(drawn, tmp_path, threshold=threshold)
    result = evaluate(dataset, ladder.out_of_fold, resamples=100)
    for rung in result.rungs.values():
        assert np.isfinite([rung.auc.value, rung.r2.value, rung.spearman.value]).all()
    assert result.headline.delta_r2.low <= 0


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    wild = replace(QUICK, cnn=replace(QUICK.cnn, learning_rate=1e30, epochs=4))
    with pytest.raises(LearningError, match="lower the learning rate") as caught:
        train(draw(channels=32, videos=4), tmp_path, wild)
    assert caught.value.reason == "diverged"


def test_thumbnail_rungs_ask_for_thumbnails(tmp_path):
    _, ladder = train(draw(channels=32, videos=4), tmp_path)
    blind = Features(["UC1"], np.array([1000.0]))
    assert ladder.rungs["subscribers"].predict(blind).probability_over.shape == (1,)
    with pytest.raises(LearningError, match="need thumbnails"):
        ladder.rungs["thumbnail"].predict(blind)


def test_predictions_of_another_dataset_are_refused(tmp_path):
    _, ladder = train(draw(channels=32, videos=4), tmp_path / "one")
    other = draw(channels=33, videos=4).write(tmp_path / "other")
    with pytest.raises(LearningError, match="not for the videos"):
        evaluate(other, ladder.out_of_fold)


def test_an_unknown_rung_is_refused():
    with pytest.raises(LearningError, match="there are constant, age"):
        rung_class("oracle")


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(LearningError, match="cannot be used"):
        load_rung(tmp_path)
