"""Every speech model, held to one behaviour, before and after save and load."""

from dataclasses import replace

import numpy as np
import pytest

from ml.errors import LearningCancelledError, LearningError
from ml.speech.frontend.cache import FeatureCache
from ml.speech.frontend.features import features
from ml.speech.models.names import OWN_MODELS
from ml.speech.models.registry import load_speech_model, own_model_names, speech_model_class
from tests.support.speech import TINY, TINY_TDNN, spoken, write_clips

CONFIGS = {"tdnn": TINY_TDNN}


def config_of(name):
    if name in CONFIGS:
        return CONFIGS[name]
    default = speech_model_class(name).default
    return replace(TINY, network=default.network)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return FeatureCache(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def trained(manifest, cache):
    return {
        name: speech_model_class(name).fit_with(config_of(name), manifest, cache, seed=1)
        for name in own_model_names()
    }


@pytest.fixture(scope="module")
def reloaded(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, model in trained.items():
        model.save(folder / name)
    return {name: load_speech_model(folder / name) for name in trained}


@pytest.fixture(params=["trained", "reloaded"])
def models(request, trained, reloaded):
    return trained if request.param == "trained" else reloaded


def test_the_names_that_are_known_without_torch_are_the_registrys():
    assert own_model_names() == OWN_MODELS


def same(first, second):
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    np.testing.assert_array_equal(first.speech, second.speech)
    np.testing.assert_array_equal(first.embedding, second.embedding)


@pytest.mark.parametrize("name", own_model_names())
class TestEverySpeechModel:
    def test_gives_probabilities_that_sum_to_one(self, models, name, manifest, cache):
        found = models[name].predict_features(cache.read(manifest))
        assert found.probabilities.shape == (len(manifest), 2)
        assert len(found.embedding) == len(found.speech) == len(found) == len(manifest)
        np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
        assert np.isfinite(found.embedding).all()
        assert ((found.speech >= 0) & (found.speech <= 1)).all()

    def test_waveforms_and_their_features_give_the_same(self, models, name):
        clips = [spoken("en", np.random.default_rng(n), 0.4 + n) for n in range(3)]
        known = [features(clip) for clip in clips]
        same(models[name].predict(clips), models[name].predict_features(known))

    def test_scores_a_clip_the_same_alone_as_among_others(self, models, name):
        clips = [spoken("zh", np.random.default_rng(n), 0.4 + n) for n in range(3)]
        together, alone = models[name].predict(clips), models[name].predict(clips[1:2])
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[1], atol=1e-5)

    def test_takes_clips_of_no_length_and_no_clips(self, models, name):
        assert len(models[name].predict([])) == 0
        found = models[name].predict([np.zeros(0, np.float32), np.zeros(160, np.float32)])
        assert np.isfinite(found.probabilities).all()
        assert found.languages() == ["unknown", "unknown"]

    def test_tells_where_it_comes_from(self, models, name, manifest):
        card = models[name].card
        assert (card.dataset, card.seed) == (manifest.sha256, 1)
        assert card.config["sources"] == sorted(set(manifest.sources))
        assert card.preprocessing["sample_rate"] == 16_000

    def test_survives_saving_bit_for_bit(self, trained, reloaded, name, manifest, cache):
        clips = cache.read(manifest)[:6]
        same(trained[name].predict_features(clips), reloaded[name].predict_features(clips))


def test_tells_the_invented_languages_apart(trained, manifest, cache):
    found = trained["tdnn"].predict_features(cache.read(manifest))
    assert ((found.probabilities[:, 1] > 0.5) == (manifest.labels == 1)).mean() > 0.9


def test_the_same_seed_trains_the_same_bits_and_another_does_not(trained, manifest, cache):
    config = config_of("crnn")
    clips = cache.read(manifest)[:6]
    fit = speech_model_class("crnn").fit_with
    again = fit(config, manifest, cache, seed=1).predict_features(clips)
    same(trained["crnn"].predict_features(clips), again)
    shorter = replace(config, epochs=1, calibrated=False)
    one, other = (
        fit(shorter, manifest, cache, seed=seed).predict_features(clips) for seed in (1, 2)
    )
    assert (other.probabilities != one.probabilities).any()


def test_a_checkpoint_spares_the_networks_that_are_finished(trained, manifest, cache, tmp_path):
    fit = speech_model_class("tdnn").fit_with
    steps = []

    def run(cancelled):
        return fit(
            TINY_TDNN,
            manifest,
            cache,
            seed=1,
            checkpoint=tmp_path,
            progress=lambda *step: steps.append(step),
            cancelled=cancelled,
        )

    with pytest.raises(LearningCancelledError):
        run(lambda: any(step > 20 for step, *_ in steps))
    steps.clear()
    resumed = run(lambda: False)
    assert steps[0][0] > 10
    assert steps[-1][0] == steps[-1][1]
    same(
        resumed.predict_features(cache.read(manifest)[:6]),
        trained["tdnn"].predict_features(cache.read(manifest)[:6]),
    )


def test_the_blend_uses_the_networks_that_its_kinds_have_trained(manifest, cache, tmp_path):
    few = replace(TINY, epochs=1)
    checkpoint = tmp_path / "networks"
    for name in ("spectrogram_cnn", "tdnn"):
        kind = speech_model_class(name)
        own = replace(kind.default, epochs=1)
        kind.fit_with(own, manifest, cache, seed=1, checkpoint=checkpoint)
    trained = sorted(checkpoint.iterdir())
    assert len(trained) == 4
    blend = speech_model_class("blend").fit_with(
        few, manifest, cache, seed=1, checkpoint=checkpoint
    )
    assert sorted(checkpoint.iterdir()) == trained
    assert len(blend.networks) == 2


def test_refuses_one_language_and_a_handful_of_clips(manifest, cache):
    fit = speech_model_class("spectrogram_cnn").fit_with
    with pytest.raises(LearningError) as refused:
        fit(TINY, manifest.where(lambda clip: clip.language == "en"), cache, seed=0)
    assert refused.value.reason == "oneLanguage"
    with pytest.raises(LearningError) as refused:
        fit(TINY, manifest.take([0, 1, 2]), cache, seed=0)
    assert refused.value.reason == "tooFewClips"


def test_refuses_a_model_that_does_not_exist():
    with pytest.raises(LearningError) as refused:
        speech_model_class("oracle")
    assert refused.value.reason == "unknownRung"
