"""Whisper's detection with the answer that our own models give."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from ml.speech.augmentation.codecs import Waveform
from ml.speech.models.base import SpeechPredictions
from ml.speech.pretrained.activity import speech_share
from ml.speech.pretrained.whisper import WhisperDetector

LEAST_MASS = 1e-6
"""So that a clip that is certainly in another language is divided by something."""


class PretrainedWhisperModel:
    """Scores clips like ``ml.speech.models.base.SpeechModel``; there is nothing to fit or to save.

    Args:
        weights: Folder of a converted multilingual Whisper that the user brings.
        threads: Of the computation.

    Raises:
        LearningError: As :class:`WhisperDetector`.
    """

    name: ClassVar[str] = "pretrained_whisper"

    def __init__(self, weights: Path, *, threads: int = 1) -> None:
        self._detector = WhisperDetector(weights, threads=threads)

    def predict(self, waveforms: Sequence[Waveform]) -> SpeechPredictions:
        """Score clips: mono float32 at 16 kHz, of any length.

        ``speech`` is that somebody speaks *and* that it is one of the two languages, so that
        another language is ``unknown``. There is no embedding: its width is 0.
        """
        both = self._detector.detect(waveforms)
        mass = both.sum(axis=1)
        activity = np.array([speech_share(waveform) for waveform in waveforms])
        # The share of Chinese is the one that is computed, so that the two add up to 1 exactly.
        chinese = (both[:, 1] + LEAST_MASS) / (mass + 2 * LEAST_MASS)
        return SpeechPredictions(
            np.column_stack([1 - chinese, chinese]),
            activity * mass,
            np.zeros((len(waveforms), 0)),
        )
