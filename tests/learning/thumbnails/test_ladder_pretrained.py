"""Rungs that also learn from image features: nested, saved and loaded, refused without."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from ml.artifacts import SHARED
from ml.errors import LearningError
from ml.evaluation.splits import folds_of
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.rows import Features
from ml.thumbnails.models.ladder import dataset_images, train_ladder
from ml.thumbnails.models.registry import load_rung, rung_names
from ml.thumbnails.models.rung import need_image_features
from ml.thumbnails.models.thumbnail import predict_all
from tests.support.image_features import drawn_features
from tests.support.learning import TINY, draw

WITH_FEATURES = replace(TINY, cnn=CnnConfig(widths=(8, 8), epochs=1, batch_size=16), backbone=True)


def trained(drawn, directory):
    dataset = drawn.write(directory)
    images = dataset_images(dataset)
    image_features = drawn_features(images)
    ladder = train_ladder(dataset, images, WITH_FEATURES, image_features=image_features)
    return (
        dataset,
        replace(Features.of_table(dataset.table, images), image_features=image_features),
        ladder,
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    drawn = draw(seed=8, channels=24, videos=6, effect=0.6, hidden=0.05)
    return trained(drawn, tmp_path_factory.mktemp("dataset"))


def test_image_features_tell_what_was_drawn_into_the_thumbnails(learned):
    dataset, features, ladder = learned
    folds = folds_of(features.split_groups, seed=TINY.seed, folds=TINY.folds)
    said = np.empty((len(dataset), 3))
    by_fold = ladder.rungs["thumbnail"].pictures.heads.outputs(features.image_features, folds)
    for fold, outputs in enumerate(by_fold):
        said[folds == fold] = outputs
    tint = features.thumbnails[..., 0].mean((1, 2)) - features.thumbnails[..., 2].mean((1, 2))
    assert np.corrcoef(said[:, 2], tint)[0, 1] > 0.5


def test_every_rung_is_the_same_after_saving_and_loading(learned, tmp_path):
    _, features, ladder = learned
    folders = ladder.save(tmp_path)
    reloaded = {name: load_rung(folder) for name, folder in folders.items()}
    assert tuple(reloaded) == rung_names()
    before = predict_all(list(ladder.rungs.values()), features)
    after = predict_all(list(reloaded.values()), features)
    for first, second in zip(before, after, strict=True):
        np.testing.assert_allclose(second.probability_over, first.probability_over, atol=1e-9)
        np.testing.assert_allclose(second.log10_views_per_day, first.log10_views_per_day, atol=1e-9)
    shared = {folder / SHARED for folder in folders.values() if (folder / SHARED).exists()}
    assert len(shared) == 4
    assert len({path.read_bytes() for path in shared}) == 1


def test_a_shared_file_that_was_cut_short_is_refused(learned, tmp_path):
    folder = learned[2].save(tmp_path)["thumbnail"]
    (folder / SHARED).write_bytes((folder / SHARED).read_bytes()[:-1])
    with pytest.raises(LearningError, match="altered or cut short"):
        load_rung(folder)


def test_rows_are_scored_out_of_fold(learned):
    _, features, ladder = learned
    table = ladder.out_of_fold.to_pylist()
    expected = [
        row["probability_over"] for row in table if row["rung"] == "subscribers+age+thumbnail"
    ]
    found = ladder.rungs["subscribers+age+thumbnail"].predict(features).probability_over
    np.testing.assert_array_equal(found, expected)


def test_no_label_of_a_fold_reaches_what_scores_that_fold(learned, tmp_path):
    drawn = draw(seed=8, channels=24, videos=6, effect=0.6, hidden=0.05)
    channels = drawn.rows["channel_id"].to_pylist()
    inside = folds_of(channels, seed=TINY.seed, folds=TINY.folds) == 1
    views = np.array(drawn.rows["views_per_day"].to_pylist())
    nonsense = np.where(inside, np.random.default_rng(0).permutation(views), views)
    _, _, other = trained(drawn.replace("views_per_day", list(nonsense)), tmp_path)
    before, after = (
        [row for row in ladder.out_of_fold.to_pylist() if row["fold"] == 1]
        for ladder in (learned[2], other)
    )
    assert before == after


def test_every_rung_says_the_same_of_features_in_half_precision(learned):
    """Features are kept in half precision: what is lost of them moves no prediction's place."""
    _, features, ladder = learned
    whole = features.image_features
    kept = replace(whole, embeddings=whole.embeddings.astype(np.float16).astype(np.float32))
    assert not np.array_equal(kept.embeddings, whole.embeddings)
    rungs = list(ladder.rungs.values())
    before = predict_all(rungs, features)
    after = predict_all(rungs, replace(features, image_features=kept))
    for first, second in zip(before, after, strict=True):
        for name in ("probability_over", "log10_views_per_day"):
            one, other = getattr(first, name), getattr(second, name)
            np.testing.assert_allclose(other, one, atol=1e-3)
            if np.ptp(one) > 0:
                assert spearmanr(one, other).statistic >= 0.9999


def test_without_image_features_the_model_says_what_to_install(learned):
    _, features, ladder = learned
    assert need_image_features(list(ladder.rungs.values()))
    with pytest.raises(LearningError, match="pip install") as caught:
        ladder.rungs["thumbnail"].predict(replace(features, image_features=None))
    assert caught.value.reason == "backboneWeightsMissing"
    assert np.isfinite(ladder.rungs["+history"].predict(features).probability_over).all()


def test_training_with_a_backbone_asks_for_image_features(learned):
    dataset, features, _ = learned
    with pytest.raises(LearningError, match="no image features"):
        train_ladder(dataset, features.thumbnails, WITH_FEATURES)
