"""Whisper's own language detection, on weights that the user brings (Radford et al. 2022).

Nothing of ours is trained here: of Whisper's probabilities over 99 languages those of English and
Chinese are kept. It needs ``ctranslate2`` and a folder with a multilingual Whisper converted for
it: what faster-whisper keeps as ``model.bin`` and ``config.json``. This module imports neither
torch nor the rest of our models, so that a comparison may run it in a bare environment.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ml.arrays import FloatArray
from ml.errors import LearningError
from ml.speech.augmentation.codecs import SAMPLE_RATE, Waveform
from ml.speech.pretrained.logmel import whisper_log_mel

WINDOW_S = 30
ENGLISH, CHINESE, CANTONESE = "<|en|>", "<|zh|>", "<|yue|>"
INSTALL = "pip install 'tubegrader[speech-whisper]'"


class WhisperDetector:
    """Names the language of clips.

    Args:
        weights: The converted model's folder.
        threads: Of the computation.

    Raises:
        LearningError: No ``ctranslate2`` (``whisperMissing``), no model there or an English-only
            one (``whisperWeightsUnusable``).
    """

    def __init__(self, weights: Path, *, threads: int = 1) -> None:
        try:
            import ctranslate2  # noqa: PLC0415 - only this optional model needs it
        except ImportError as error:
            raise LearningError(
                f"Whisper needs the package ctranslate2: {INSTALL}", reason="whisperMissing"
            ) from error
        if not (weights / "model.bin").is_file():
            raise _unusable(weights, "it has no model.bin")
        try:
            self._model = ctranslate2.models.Whisper(
                str(weights), device="cpu", compute_type="int8", intra_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise _unusable(weights, str(error)) from error
        if not self._model.is_multilingual:
            raise _unusable(weights, "it knows English only")
        self._array = ctranslate2.StorageView.from_array

    def detect(self, waveforms: Sequence[Waveform]) -> FloatArray:
        """Return the probabilities of English and Chinese in each clip, shape (N, 2).

        What is missing to 1 belongs to other languages. Windows of 30 s vote within a clip by
        their length; Cantonese counts as Chinese where a model tells it apart.

        Args:
            waveforms: Mono float32 at 16 kHz, of any length.
        """
        return np.array([self._clip(waveform) for waveform in waveforms]).reshape(-1, 2)

    def _clip(self, waveform: Waveform) -> FloatArray:
        count = max(1, -(-len(waveform) // (WINDOW_S * SAMPLE_RATE)))
        parts = np.array_split(waveform, count)
        found = np.array([self._window(part) for part in parts])
        return np.average(found, axis=0, weights=[len(part) + 1 for part in parts])

    def _window(self, samples: Waveform) -> tuple[float, float]:
        features = whisper_log_mel(samples, seconds=WINDOW_S)[None]
        (languages,) = self._model.detect_language(self._array(np.ascontiguousarray(features)))
        by_token = dict(languages)
        return by_token[ENGLISH], by_token[CHINESE] + by_token.get(CANTONESE, 0.0)


def _unusable(weights: Path, what: str) -> LearningError:
    return LearningError(
        f"{weights} is no multilingual Whisper converted for CTranslate2: {what}; convert one with"
        " ct2-transformers-converter and give its folder",
        reason="whisperWeightsUnusable",
    )
