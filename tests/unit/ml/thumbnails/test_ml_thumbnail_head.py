"""The head on frozen image features finds what is there, on channels unseen, and no more."""

import warnings

import numpy as np
import pytest

from ml.errors import LearningError
from ml.evaluation import metrics
from ml.thumbnails.backbones.embeddings import WIDTH
from ml.thumbnails.features.catalogue import FEATURES
from ml.thumbnails.features.image_features import RECIPES, ImageFeatures
from ml.thumbnails.stacking.head import ThumbnailHead

ROWS, CHANNELS = 240, 60
FEW = RECIPES[1:4]


def looks_like(style, seed):
    """Embeddings whose middle stages carry a channel's style among much else."""
    generator = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(style.shape[1], WIDTH))
    noise = generator.normal(size=(len(style), WIDTH))
    return (style @ directions + 0.7 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def planted():
    """A style that half explains log views, and a residual that half of it explains."""
    generator = np.random.default_rng(1)
    channel = np.arange(ROWS) % CHANNELS
    style = generator.normal(size=(CHANNELS, 3))[channel] + 0.3 * generator.normal(size=(ROWS, 3))
    log_views = 2 + style[:, 0] + 0.6 * generator.normal(size=ROWS)
    residual = style[:, 1] + 0.6 * generator.normal(size=ROWS)
    measured = np.array([(f.low + f.high) / 2 for f in FEATURES]) * np.ones((ROWS, 1))
    image_features = ImageFeatures(looks_like(style, 2), measured)
    return image_features, log_views, residual, [f"c{number}" for number in channel]


def fit(planted, rows, **changed):
    image_features, log_views, residual, channels = planted
    arguments = {
        "log_views": log_views[rows],
        "is_over": log_views[rows] > 2,
        "residual": residual[rows],
        "channel_ids": [channels[row] for row in rows],
        "seed": 0,
        "recipes": FEW,
    } | changed
    return ThumbnailHead.fit(image_features.take(rows), **arguments)


@pytest.fixture(scope="module")
def split():
    channel = np.arange(ROWS) % CHANNELS
    return np.flatnonzero(channel < 45), np.flatnonzero(channel >= 45)


@pytest.fixture(scope="module")
def fitted(planted, split):
    return fit(planted, split[0])


def test_it_predicts_channels_it_has_not_seen(planted, split, fitted):
    image_features, log_views, residual, _ = planted
    test = split[1]
    outputs = fitted.predict(image_features.take(test))
    assert metrics.r_squared(log_views[test], outputs.log_views) > 0.3
    assert metrics.r_squared(residual[test], outputs.residual) > 0.3
    assert metrics.auc(log_views[test] > 2, outputs.probability_over) > 0.75
    assert metrics.log_loss(log_views[test] > 2, outputs.probability_over) < np.log(2)


def test_its_inner_predictions_are_as_good_as_those_of_new_channels(planted, split, fitted):
    train, test = split
    _, log_views, _, _ = planted
    inner = metrics.r_squared(log_views[train], fitted.inner.log_views)
    outer = metrics.r_squared(log_views[test], fitted.predict(planted[0].take(test)).log_views)
    assert abs(inner - outer) < 0.25
    assert fitted.chosen["log_views"][2] == pytest.approx(inner, abs=1e-9)


def test_what_has_no_effect_is_shrunk_to_the_mean(planted, split):
    train, test = split
    shuffled = np.random.default_rng(5).normal(size=len(train))
    head = fit(planted, train, residual=shuffled)
    assert head.chosen["residual"][2] < 0.05
    assert head.predict(planted[0].take(test)).residual.std() < 0.3


def test_a_label_does_not_reach_its_own_inner_prediction(planted, split, fitted):
    train = split[0]
    channels = np.array(planted[3])[train]
    spoilt = planted[1][train].copy()
    spoilt[channels == "c3"] += 50
    # The same ridge, so that only labels differ: what other channels say is all that is left.
    head = fit(planted, train, log_views=spoilt, recipes=FEW[:1])
    unspoilt = fit(planted, train, recipes=FEW[:1])
    if head.chosen["log_views"][1] == unspoilt.chosen["log_views"][1]:
        np.testing.assert_allclose(
            head.inner.log_views[channels == "c3"], unspoilt.inner.log_views[channels == "c3"]
        )
    assert np.abs(head.inner.log_views[channels == "c3"]).max() < 20


def test_saving_changes_nothing(planted, split, fitted):
    image_features = planted[0].take(split[1])
    names = {target: chosen[0] for target, chosen in fitted.chosen.items()}
    tensors = {key: np.array(value) for key, value in fitted.tensors().items()}
    loaded = ThumbnailHead.from_tensors(tensors, names)
    before, after = fitted.predict(image_features), loaded.predict(image_features)
    for name in ("log_views", "probability_over", "residual"):
        np.testing.assert_allclose(
            getattr(after, name), getattr(before, name), rtol=1e-6, atol=1e-7
        )
    assert loaded.chosen == fitted.chosen
    np.testing.assert_array_equal(loaded.inner.residual, fitted.inner.residual)
    with pytest.raises(LearningError, match="unknown here"):
        ThumbnailHead.from_tensors(tensors, names | {"residual": "older kernel"})


def test_the_same_seed_gives_the_same_bits(planted, split, fitted):
    again = fit(planted, split[0])
    for key, value in fitted.tensors().items():
        np.testing.assert_array_equal(again.tensors()[key], value)


def test_unknown_residuals_and_missing_measurements_do_not_stop_it(planted, split):
    train, test = split
    image_features, _, residual, _ = planted
    bare = (ImageFeatures(image_features.embeddings), *planted[1:])
    partly = residual[train].copy()
    partly[::4] = np.nan
    head = fit(bare, train, residual=partly)
    assert not any("measured" in chosen[0] for chosen in head.chosen.values())
    outputs = head.predict(ImageFeatures(image_features.embeddings[test]))
    assert np.isfinite(outputs.residual).all()
    assert np.isfinite(head.inner.residual).all()


def test_more_rows_than_landmarks_are_approximated(planted, split, monkeypatch):
    train, test = split
    exact = fit(planted, train).predict(planted[0].take(test)).log_views
    monkeypatch.setattr("ml.thumbnails.stacking.head.LANDMARKS", 120)
    approximate = fit(planted, train)
    assert len(approximate.tensors()["log_views.slopes"]) == 120
    found = approximate.predict(planted[0].take(test)).log_views
    assert np.corrcoef(exact, found)[0, 1] > 0.9


def test_one_class_gives_probabilities_all_the_same(planted, split):
    train, test = split
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        head = fit(planted, train, is_over=np.ones(len(train), dtype=bool))
    p = head.predict(planted[0].take(test)).probability_over
    assert np.isfinite(p).all()
    assert p.min() > 0.8


def test_what_cannot_be_learned_from_is_refused(planted, split):
    train = split[0]
    with pytest.raises(LearningError, match="too few"):
        fit(planted, train[:12])
    with pytest.raises(LearningError, match="channels are too few"):
        fit(planted, train, channel_ids=["one", "two"] * 90)
    with pytest.raises(LearningError, match="known residual are too few"):
        fit(planted, train, residual=np.full(len(train), np.nan))
    broken = planted[0].embeddings.copy()
    broken[train[0], 100] = np.nan
    with pytest.raises(LearningError, match="not finite"):
        fit((ImageFeatures(broken), *planted[1:]), train)
    with pytest.raises(LearningError, match="columns"):
        fit((ImageFeatures(broken[:, :50]), *planted[1:]), train)
