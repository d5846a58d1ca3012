"""From a file to windows: codecs, features, the cache, the detector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import LearningCancelledError, LearningError
from ml.speech.augmentation.codecs import CODECS, TRAINING_CODECS, round_trip
from ml.speech.augmentation.nonspeech import KINDS, synthesised
from ml.speech.augmentation.waveform import augmented
from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.cache import (
    FeatureCache,
    augmented_variants,
    codec_variants,
    decoded_file,
)
from ml.speech.frontend.features import BANDS, COLUMNS, features
from ml.speech.frontend.windows import WindowConfig, cut_windows, kept_frames, normalised
from ml.speech.models.speech_detector import SpeechDetector
from tests.support.speech import RATE, spoken, write_clips, write_wav

ROBUST = WindowConfig(normalise_variance=True, pitch=True, shorten_pauses=True)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), clips=1).take(range(6))


@pytest.mark.parametrize("codec", [*CODECS.values(), *TRAINING_CODECS], ids=str)
def test_a_codec_gives_back_the_same_sound_in_the_same_length(codec):
    time = np.arange(2 * RATE) / RATE
    sound = (0.3 * np.sin(2 * np.pi * 700 * time)).astype(np.float32)
    back = round_trip(sound, codec)
    assert back.dtype == np.float32
    assert len(back) == len(sound)
    spectrum = np.abs(np.fft.rfft(back * np.hanning(len(back))))
    assert spectrum.argmax() == pytest.approx(1400, abs=2)
    assert back.std() == pytest.approx(sound.std(), rel=0.2)


@given(st.integers(0, 40_000))
def test_features_of_any_length_are_finite(samples):
    found = features(generator(samples).normal(0, 0.1, samples).astype(np.float32))
    assert found.shape == (1 + max(samples, 640) // 160, COLUMNS)
    assert np.isfinite(found).all()


def test_level_vanishes_from_normalised_bands():
    hiss = generator().normal(0, 1e-3, 2 * RATE).astype(np.float32)
    sound = spoken("en", generator(), 2.0) + hiss
    quiet = normalised(features(0.3 * sound)[None], WindowConfig())
    loud = normalised(features(sound)[None], WindowConfig())
    np.testing.assert_allclose(quiet, loud, atol=0.05)


def test_a_pitch_that_rises_an_octave_a_second_is_seen_to_rise():
    time = np.arange(RATE) / RATE
    phase = 2 * np.pi * np.cumsum(120 * 2**time) / RATE
    sound = sum(np.sin(order * phase) / order for order in range(1, 8))
    found = features((0.1 * sound).astype(np.float32))[20:-20]
    relative = found[:, BANDS + 1]
    assert (found[:, BANDS] > 0.3).all()
    assert relative[-1] - relative[0] == pytest.approx(0.6, abs=0.12)
    shifts = found[:, BANDS + 3 :].argmax(axis=1) - 5
    # The earlier frame agrees when it is read lower.
    assert (shifts == -1).all()


def test_pauses_are_shortened_and_speech_is_kept():
    sound = spoken("zh", generator(), 1.0)
    gap = np.zeros(RATE, np.float32)
    clip = features(np.concatenate([sound, gap, sound]))
    kept = kept_frames(clip, ROBUST)
    assert len(clip) == 301
    assert 150 < len(kept) < 240
    assert (np.diff(kept) > 0).all()
    assert len(kept_frames(clip, WindowConfig())) == 301


@given(st.lists(st.integers(1, 900), min_size=1, max_size=5))
def test_windows_cover_every_clip_to_its_end(lengths):
    config = WindowConfig(seconds=2.0, hop_seconds=0.7)
    clips = [generator(n).normal(size=(n, COLUMNS)).astype(np.float32) for n in lengths]
    windows, owners = cut_windows(clips, config)
    assert windows.shape[1:] == (200, COLUMNS)
    for number, length in enumerate(lengths):
        assert (owners == number).sum() >= max(1, (length - 200) / 70)


def test_augmentation_is_repeatable_and_draws_differ():
    sound = spoken("en", generator())
    first, again, other = (augmented(sound, generator(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()
    for seed in range(12):
        assert np.isfinite(augmented(sound, generator(seed))).all()


def test_the_cache_keeps_what_it_computed_and_reads_the_same_bits(manifest, tmp_path):
    decoded = []

    def decode(clip):
        decoded.append(clip.clip_id)
        return decoded_file(clip)

    variants = ["clean", *augmented_variants(1), codec_variants()[0]]
    FeatureCache(tmp_path, decode).ensure(manifest.take([0, 1]), variants)
    assert len(decoded) == 6
    FeatureCache(tmp_path, decode).ensure(manifest, variants)
    assert len(decoded) == 18
    afresh = FeatureCache(tmp_path / "afresh")
    for variant in variants:
        stored = FeatureCache(tmp_path, decode).read(manifest, variant)
        for one, other in zip(stored, afresh.read(manifest, variant), strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(decoded) == 18


def test_a_cache_that_was_cut_short_is_filled_up_again(manifest, tmp_path):
    cache = FeatureCache(tmp_path)
    whole = [np.array(clip) for clip in cache.read(manifest)]
    index = next(tmp_path.rglob("clean.jsonl"))
    data = next(tmp_path.rglob("clean.f16"))
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join(lines[:3]) + lines[3][:9])
    data.write_bytes(data.read_bytes()[:-7])
    for one, other in zip(cache.read(manifest), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_filling_the_cache_stops_when_cancelled(manifest, tmp_path):
    cache = FeatureCache(tmp_path)
    with pytest.raises(LearningCancelledError):
        cache.ensure(manifest, ["clean"], cancelled=lambda: True)
    with pytest.raises(LearningError) as refused:
        cache.ensure(manifest, ["backwards"])
    assert refused.value.reason == "unknownVariant"


def test_what_cannot_be_decoded_has_a_reason(tmp_path):
    path = tmp_path / "no.mp3"
    path.write_bytes(b"")
    clip = Clip("no", str(path), "en", "a", "b", "no", "mp3", 3.0)
    with pytest.raises(LearningError) as refused:
        FeatureCache(tmp_path).read(Manifest((clip,)))
    assert refused.value.reason == "empty"


def test_silence_noise_and_music_are_not_speech():
    voices = [features(spoken(("en", "zh")[n % 2], generator(n), 2.0)) for n in range(40)]
    detector = SpeechDetector.fit(voices[:30])
    assert (detector.probability(voices[30:]) > 0.5).mean() >= 0.9
    for kind in KINDS:
        sounds = [features(synthesised(kind, generator([5, n]))) for n in range(8)]
        assert (detector.probability(sounds) < 0.5).mean() >= 0.8, kind


def test_a_saved_wave_decodes_to_what_was_written(tmp_path):
    sound = spoken("en", generator())
    write_wav(tmp_path / "a.wav", sound)
    clip = Clip("a", str(tmp_path / "a.wav"), "en", "a", "b", "a", "wav", 1.6)
    np.testing.assert_allclose(decoded_file(clip), sound, atol=1e-4)
