"""The optional models on pretrained weights: what they need, refuse and promise."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import LearningError
from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.cache import FeatureCache
from ml.speech.models.pretrained_encoder import PretrainedEncoderModel
from ml.speech.models.registry import load_speech_model
from ml.speech.pretrained import encoder as encoders
from ml.speech.pretrained.cache import EncodingCache
from ml.speech.pretrained.encoder import COLUMNS, SECONDS, SPEECH, SpeechEncoder
from ml.speech.pretrained.head import LinearHead, clip_importance
from ml.speech.pretrained.logmel import whisper_log_mel
from ml.speech.pretrained.whisper import WhisperDetector

RATE = 16_000


def test_log_mel_of_a_tone_peaks_in_its_band():
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    bands = whisper_log_mel(tone, seconds=1)
    assert bands.shape == (80, 100)
    # 1 kHz is 15 of the 45.2 mels up to 8 kHz on Slaney's scale.
    assert abs(int(bands.mean(axis=1).argmax()) - 26) <= 1


@settings(max_examples=20)
@given(st.floats(1e-3, 10.0), st.integers(0, 2**16))
def test_log_mel_only_shifts_with_the_level(gain, seed):
    noise = np.random.default_rng(seed).normal(size=RATE).astype(np.float32)
    quiet = whisper_log_mel(noise * np.float32(gain), seconds=1)
    assert quiet - whisper_log_mel(noise, seconds=1) == pytest.approx(np.log10(gain) / 2, abs=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 2**16))
def test_head_follows_logits_that_are_linear(seed):
    generator = np.random.default_rng(seed)
    columns = generator.normal(size=(200, 5))
    truth = columns @ generator.normal(size=5) > 0
    head = LinearHead.fit(columns, truth.astype(float), np.ones(200))
    assert ((head.logits(columns) > 0) == truth).mean() > 0.8
    again = LinearHead.fit(columns * 7 + 3, truth.astype(float), np.ones(200))
    # Standardised inside, so units and offsets of the columns do not matter.
    assert again.logits(columns * 7 + 3) == pytest.approx(head.logits(columns), abs=1e-4)


def test_languages_count_the_same_however_many_clips():
    manifest = Manifest(tuple(_clip(n, "en" if n < 3 else "zh", f"s{n % 4}") for n in range(40)))
    importance = clip_importance(manifest)
    assert importance.sum() == pytest.approx(1)
    assert importance[manifest.labels == 0].sum() == pytest.approx(0.5)


def test_missing_encoder_says_what_to_install(monkeypatch):
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    with pytest.raises(LearningError, match="pip install") as error:
        SpeechEncoder()
    assert error.value.reason == "encoderMissing"


def test_another_file_is_no_encoder(tmp_path):
    pytest.importorskip("onnx", reason="the extra speech-pretrained is not installed")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    with pytest.raises(LearningError) as error:
        SpeechEncoder(other)
    assert error.value.reason == "encoderUnsupported"


def test_whisper_without_its_library_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(LearningError, match="pip install") as error:
        WhisperDetector(tmp_path)
    assert error.value.reason == "whisperMissing"


def test_whisper_without_weights_says_how_to_make_them(tmp_path):
    pytest.importorskip("ctranslate2", reason="the extra speech-whisper is not installed")
    with pytest.raises(LearningError, match="ct2-transformers-converter") as error:
        WhisperDetector(tmp_path)
    assert error.value.reason == "whisperWeightsUnusable"


def test_features_of_our_own_front_end_are_refused(tmp_path):
    manifest = Manifest(tuple(_clip(n, ("en", "zh")[n % 2], f"s{n}") for n in range(8)))
    with pytest.raises(LearningError) as error:
        PretrainedEncoderModel.fit(manifest, FeatureCache(tmp_path), seed=0)
    assert error.value.reason == "wrongFeatures"


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    pytest.importorskip("onnx", reason="the extra speech-pretrained is not installed")
    try:
        return SpeechEncoder()
    except LearningError as error:
        pytest.skip(str(error))


def test_encoding_has_a_row_for_every_eight_seconds(encoder):
    noise = _sound(17 * RATE, 0)
    rows = encoder.encode(noise)
    assert rows.shape == (3, COLUMNS)
    assert rows[:, SECONDS].sum() == pytest.approx(17, abs=1e-3)
    assert (rows[:, SPEECH] < 0.5).all(), "noise is not speech"
    assert np.isfinite(encoder.encode(np.zeros(0, np.float32))).all()


def test_encoding_does_not_depend_on_the_level(encoder):
    noise = _sound(3 * RATE, 1)
    loud, quiet = encoder.encode(noise)[0, 2:], encoder.encode(noise / 50)[0, 2:]
    assert np.corrcoef(loud, quiet)[0, 1] > 0.99


def test_model_is_the_same_after_save_and_load_and_fits_one_encoder_only(encoder, tmp_path):
    clips = tuple(_clip(n, ("en", "zh")[n % 2], f"s{n % 4}") for n in range(16))
    cache = EncodingCache(tmp_path / "cache", _decode, encoder=encoder)
    model = PretrainedEncoderModel.fit(Manifest(clips), cache, seed=3)
    model.save(tmp_path / "model")
    loaded = load_speech_model(tmp_path / "model")
    waveforms = [_decode(clip) for clip in clips[:4]]
    before, after = model.predict(waveforms), loaded.predict(waveforms)
    assert after.probabilities == pytest.approx(before.probabilities)
    assert before.probabilities.sum(axis=1) == pytest.approx(1)
    assert before.languages() == ["unknown"] * 4, "nobody speaks in noise"
    kept = model.predict_features(cache.read(Manifest(clips[:4])))
    assert kept.probabilities == pytest.approx(before.probabilities, abs=0.02), "16 bits are kept"
    other = SpeechEncoder(encoder.weights)
    other.__dict__["sha256"] = "0" * 64
    with pytest.raises(LearningError) as error:
        PretrainedEncoderModel.load(tmp_path / "model", encoder=other)
    assert error.value.reason == "encoderMismatch"


def _clip(number: int, language: str, source: str) -> Clip:
    name = f"clip-{number}"
    return Clip(name, "", language, name, f"{source}-{language}", name, "none", 2.0)


def _decode(clip: Clip) -> np.ndarray:
    return _sound(2 * RATE, int(clip.clip_id.removeprefix("clip-")), tilt=clip.language == "zh")


def _sound(samples: int, seed: int, *, tilt: bool = False) -> np.ndarray:
    """Noise, dull if tilted: two classes that any encoder tells apart."""
    noise = np.random.default_rng(seed).normal(size=samples)
    shaped = np.convolve(noise, np.ones(8) / 8, mode="same") if tilt else noise
    return (0.1 * shaped).astype(np.float32)
