"""The speech detector: does anybody speak in a clip at all? It stands before every network.

It looks at what sets speech apart in any language and through any channel: energy that rises and
falls at the pace of syllables, voicing that comes and goes, a spectrum that changes from sound to
sound (Scheirer & Slaney 1997). It learns from the training clips, clean and augmented, against
synthesised music, noise, tones and silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ml.arrays import BoolArray, FloatArray
from ml.logistic import fit_logistic_weights
from ml.speech.augmentation.nonspeech import synthesised
from ml.speech.frontend.features import (
    BANDS,
    FRAMES_PER_SECOND,
    AnyFeatures,
    Features,
    features,
)

SOUNDS = {
    "silence": 8,
    "noise": 24,
    "wavering noise": 24,
    "clicks": 24,
    "tone": 48,
    "music": 72,
}
"""How many of each kind; the more a kind resembles speech, the more."""
SOUNDS_SEED = 77
DEPTH = np.log(10 ** (60 / 10))
"""What is 60 dB below a clip's loudest counts as that: digital silence is no deeper than a quiet
room."""
RIDGE = 1e-2
SILENT = np.log(1e-7)
"""Loudest band of a clip below which nothing is audible, as log power."""
VOICED = 0.3
SPEECH_KEPT = 0.98
"""The threshold lets this share of the training speech through."""


@dataclass(frozen=True)
class SpeechDetector:
    """A logistic regression on clip statistics and their squares.

    Attributes:
        centre: Means of the statistics, shape (S,).
        scale: Their deviations, shape (S,).
        weights: Of intercept, statistics and squares, shape (1 + 2 S,).
    """

    centre: FloatArray
    scale: FloatArray
    weights: FloatArray

    @classmethod
    def fit(cls, speech: Sequence[AnyFeatures]) -> Self:
        """Learn from speech clips, each (frames, COLUMNS), and drawn sounds without speech."""
        spoken_statistics = [_statistics(np.asarray(clip, np.float32)) for clip in speech]
        statistics = np.concatenate([spoken_statistics, _sounds()])
        spoken = np.arange(len(statistics)) < len(speech)
        centre, scale = statistics.mean(axis=0), statistics.std(axis=0) + 1e-6
        columns = _columns(statistics, centre, scale)
        # Both classes weigh the same, and the intercept is all but free.
        importance = np.where(spoken, 0.5 / spoken.sum(), 0.5 / (~spoken).sum())
        penalty = np.r_[1e-6, np.full(columns.shape[1] - 1, RIDGE)]
        weights = fit_logistic_weights(columns, spoken.astype(np.float64), importance, penalty)
        # The intercept moves so that one half is where nearly all of the speech is above.
        scores = columns[spoken] @ weights
        weights[0] -= min(float(np.quantile(scores, 1 - SPEECH_KEPT)), 0.0)
        return cls(centre, scale, weights)

    def probability(self, clips: Sequence[AnyFeatures]) -> FloatArray:
        """Return the probability of speech in each clip, shape (N,)."""
        if not clips:
            return np.zeros(0)
        statistics = np.stack([_statistics(np.asarray(clip, np.float32)) for clip in clips])
        scores = _columns(statistics, self.centre, self.scale) @ self.weights
        audible = np.array([np.asarray(clip[:, :BANDS]).max() > SILENT for clip in clips])
        return np.where(audible, 1 / (1 + np.exp(-np.clip(scores, -50, 50))), 0.0)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return what was learned by name; ``gate`` is what artefacts call the detector."""
        return {"gate.centre": self.centre, "gate.scale": self.scale, "gate.weights": self.weights}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Build a detector from :meth:`tensors`."""
        return cls(tensors["gate.centre"], tensors["gate.scale"], tensors["gate.weights"])


@lru_cache(maxsize=1)
def _sounds() -> FloatArray:
    """Statistics of the sounds without speech; the same for every detector, so drawn once."""
    generator = np.random.default_rng(SOUNDS_SEED)
    return np.stack(
        [
            _statistics(features(synthesised(kind, generator)))
            for kind, count in SOUNDS.items()
            for _ in range(count)
        ]
    )


def _statistics(clip: Features) -> FloatArray:
    """Summarise a clip: (S,)."""
    voicing = clip[:, BANDS]
    bands = np.maximum(clip[:, :BANDS], clip[:, :BANDS].max() - DEPTH)
    level = bands.mean(axis=1)
    shape = bands - level[:, None]
    slow = _smoothed(level, 20)
    syllables = _smoothed(level, 4) - slow
    voiced = voicing > VOICED
    runs = _runs(voiced)
    lag5, lag20 = _agreement(shape, 5), _agreement(shape, 20)
    variation = clip[:, BANDS + 3 :]
    return np.array(
        [
            level.std(),
            np.quantile(level, 0.95) - np.quantile(level, 0.05),
            syllables.std(),
            np.abs(np.diff(level)).mean(),
            (level < level.mean() - 1).mean(),
            shape.std(axis=0).mean(),
            np.abs(np.diff(shape, axis=0)).mean(),
            shape.mean(axis=0).std(),
            shape.std(axis=1).mean(),
            shape.std(axis=1).std(),
            lag5,
            lag20,
            voicing.mean(),
            voicing.std(),
            voiced.mean(),
            runs.mean() / FRAMES_PER_SECOND,
            np.log1p(runs.max()) / 5,
            np.abs(np.diff(voicing)).mean(),
            np.abs(clip[:, BANDS + 2]).mean(),
            clip[voiced, BANDS + 1].std() if voiced.any() else 0.0,
            variation.std(axis=0).mean(),
            variation.max(axis=1).mean(),
        ],
        dtype=np.float64,
    )


def _columns(statistics: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    standard = np.clip((statistics - centre) / scale, -4, 4)
    return np.column_stack([np.ones(len(standard)), standard, standard**2])


def _smoothed(values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    kernel = np.ones(width) / width
    return np.convolve(np.pad(values, width, mode="edge"), kernel, mode="same")[width:-width]


def _agreement(shape: Features, lag: int) -> float:
    """How much the spectrum's shape is still the same some frames later."""
    own = shape - shape.mean(axis=0)
    if len(own) <= lag:
        return 0.0
    return float((own[lag:] * own[:-lag]).mean() / ((own**2).mean() + 1e-6))


def _runs(voiced: BoolArray) -> FloatArray:
    """Lengths of the voiced stretches, at least one entry."""
    edges = np.flatnonzero(np.diff(np.r_[False, voiced, False].astype(np.int8)))
    lengths = (edges[1::2] - edges[::2]).astype(np.float64)
    return lengths if len(lengths) else np.zeros(1)
