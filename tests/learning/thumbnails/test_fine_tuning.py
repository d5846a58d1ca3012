"""The pretrained network's last stages trained on: nested, saved and loaded, stopped, repeatable.

The network has random weights here and the maps are drawn: what it learns is tried by hand on real
thumbnails (docs/decisions/0015), what is asked of it here holds for any weights.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ml.errors import LearningCancelledError, LearningError
from ml.evaluation.splits import folds_of
from ml.runtime.device import Device
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.backbones.embeddings import MAP_SHAPE, MAP_WIDTH, frozen_maps
from ml.thumbnails.backbones.weights import TENSORFLOW, Backbone
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.models.ladder import dataset_images, train_ladder
from ml.thumbnails.models.registry import load_rung
from ml.thumbnails.models.rung import need_maps
from ml.thumbnails.stacking.fine_tuning import TunedNet, TuningConfig, train_tuned
from tests.support.image_features import drawn_features
from tests.support.learning import TINY, draw

TUNING = replace(
    TINY,
    cnn=CnnConfig(widths=(8, 8), epochs=1, batch_size=16),
    backbone=True,
    fine_tune=True,
    tuning=TuningConfig(epochs=1, batch_size=16),
)


@pytest.fixture(scope="module")
def backbone():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Backbone(EfficientNetLite0(TENSORFLOW).eval(), "drawn")


def mapped(images):
    """Return image features with maps: coarse colours in every place of some channels."""
    coarse = images[:, ::15, ::20].reshape(len(images), -1).astype(np.float32) / 255
    maps = np.zeros((len(images), *MAP_SHAPE), dtype=np.float16)
    maps[:, : min(coarse.shape[1], MAP_SHAPE[0])] = coarse[:, : MAP_SHAPE[0], None, None]
    return replace(drawn_features(images), maps=maps.reshape(len(images), MAP_WIDTH))


def trained(drawn, directory, backbone, **options):
    dataset = drawn.write(directory)
    images = dataset_images(dataset)
    image_features = mapped(images)
    ladder = train_ladder(
        dataset, images, TUNING, image_features=image_features, backbone=backbone, **options
    )
    return (
        dataset,
        replace(Features.of_table(dataset.table, images), image_features=image_features),
        ladder,
    )


@pytest.fixture(scope="module")
def drawn():
    return draw(seed=8, channels=24, videos=4, effect=0.6, hidden=0.05)


@pytest.fixture(scope="module")
def learned(drawn, backbone, tmp_path_factory):
    return trained(drawn, tmp_path_factory.mktemp("dataset"), backbone)


def test_maps_and_the_last_stages_are_the_whole_network(backbone):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 180, 320, 3), dtype=np.uint8)
    maps = frozen_maps(pictures, backbone.network, Device("cpu", torch.float32))
    assert maps.shape == (2, MAP_WIDTH)
    with torch.inference_mode():
        whole = backbone.network.maps(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())
        tuned = TunedNet(backbone.network).eval()
        rest = tuned.stages(torch.from_numpy(maps).float().reshape(2, *MAP_SHAPE))
    np.testing.assert_allclose(rest.numpy(), whole[6].numpy(), atol=2e-2)


def test_a_tuned_rung_is_the_same_after_saving_and_loading(learned, tmp_path):
    _, features, ladder = learned
    rung = ladder.rungs["subscribers+age+thumbnail"]
    rung.save(tmp_path)
    again = load_rung(tmp_path)
    assert need_maps([again])
    before, after = rung.predict(features), again.predict(features)
    np.testing.assert_allclose(after.probability_over, before.probability_over, rtol=1e-6)
    np.testing.assert_allclose(after.log10_views_per_day, before.log10_views_per_day, rtol=1e-6)


def test_every_source_adds_three_columns_and_rows_are_scored_out_of_fold(learned):
    _, features, ladder = learned
    rung = ladder.rungs["thumbnail"]
    outputs = rung.pictures.outputs(features, rung.card)
    for fold in range(rung.card.folds):
        columns = outputs.without(fold)
        assert columns.shape == ((outputs.folds_by_row == fold).sum(), 9)
        assert np.isfinite(columns).all()
    table = ladder.out_of_fold.to_pylist()
    expected = [row["probability_over"] for row in table if row["rung"] == "thumbnail"]
    np.testing.assert_array_equal(rung.predict(features).probability_over, expected)


@pytest.mark.slow
def test_no_label_of_a_fold_reaches_what_scores_that_fold(learned, drawn, backbone, tmp_path):
    inside = folds_of(drawn.rows["channel_id"].to_pylist(), seed=TINY.seed, folds=4) == 1
    views = np.array(drawn.rows["views_per_day"].to_pylist())
    nonsense = np.where(inside, np.random.default_rng(0).permutation(views), views)
    _, _, other = trained(drawn.replace("views_per_day", list(nonsense)), tmp_path, backbone)
    before, after = (
        [row for row in ladder.out_of_fold.to_pylist() if row["fold"] == 1]
        for ladder in (learned[2], other)
    )
    assert before == after


def test_training_stops_at_the_next_step_when_cancelled(learned, backbone):
    dataset, features, _ = learned
    seen = []
    with pytest.raises(LearningCancelledError):
        train_tuned(
            backbone.network,
            features.image_features.for_tuning(),
            features,
            Targets(dataset.log10_views_per_day, dataset.is_over),
            folds_of(features.split_groups, seed=TINY.seed, folds=4),
            folds=4,
            config=TUNING.tuning,
            seed=0,
            progress=lambda step, *_: seen.append(step),
            cancelled=lambda: len(seen) >= 2,
        )
    assert seen == [1, 2]


def test_what_is_missing_is_said(learned, backbone):
    dataset, features, ladder = learned
    without = replace(features, image_features=replace(features.image_features, maps=None))
    with pytest.raises(LearningError) as caught:
        ladder.rungs["thumbnail"].predict(without)
    assert caught.value.reason == "mapsMissing"
    with pytest.raises(LearningError) as caught:
        train_ladder(dataset, features.thumbnails, TUNING, image_features=features.image_features)
    assert caught.value.reason == "noLooks"
