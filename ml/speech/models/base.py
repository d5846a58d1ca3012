"""The interface that every speech model has, so that scoring need not know which it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import numpy as np

from ml.arrays import FloatArray
from ml.artifacts import ModelCard
from ml.speech.augmentation.codecs import Waveform
from ml.speech.data.manifest import LANGUAGES, Manifest
from ml.speech.frontend.cache import FeatureCache
from ml.speech.frontend.features import AnyFeatures
from ml.training.callbacks import Cancelled, Progress

UNKNOWN = "unknown"
MIN_SPEECH = 0.5
"""Less than this and it is music, silence or noise, not speech."""
MIN_CONFIDENCE = 0.6
"""Less than this and the language is unknown: another one perhaps, or too little speech."""


@dataclass(frozen=True)
class SpeechPredictions:
    """What a model makes of N clips.

    Attributes:
        probabilities: Shape (N, 2), English and Chinese, summing to 1: given that it is one of
            the two.
        speech: Shape (N,): the probability that somebody speaks.
        embedding: Shape (N, E): what the model's last layer saw, averaged over windows.
    """

    probabilities: FloatArray
    speech: FloatArray
    embedding: FloatArray

    def __len__(self) -> int:
        return len(self.speech)

    def languages(
        self, *, min_speech: float = MIN_SPEECH, min_confidence: float = MIN_CONFIDENCE
    ) -> list[str]:
        """Name each clip's language, or ``unknown``."""
        sure = (self.speech >= min_speech) & (self.probabilities.max(axis=1) >= min_confidence)
        best = self.probabilities.argmax(axis=1)
        return [
            LANGUAGES[index] if known else UNKNOWN for index, known in zip(best, sure, strict=True)
        ]


def _nothing_needed() -> None:
    """Pass: what every installation for learning has is enough."""


@dataclass(frozen=True)
class SpeechModelSpec:
    """What a model declares of itself, beside its class; its place is that in the registry.

    Attributes:
        name: In the registry, in files and on the command line; stored, so it never changes.
        summary: What the model is, in one line for people.
        cache: Keeps what it learns from: log-mel features, or the encodings of an encoder.
        reference: Whether every other model is held against it; true of one.
        in_detail: Whether the report shows it in detail beside the best one.
        robust: Whether codecs cost it little. The last such model that is installed is trained
            where nobody names one.
        pretrained: Whether it stands on weights that others trained.
        check_installed: Raises :class:`ml.errors.LearningError`, with what to install, where
            something that the model needs is missing.
    """

    name: str
    summary: str
    cache: type[FeatureCache] = FeatureCache
    reference: bool = False
    in_detail: bool = False
    robust: bool = False
    pretrained: bool = False
    check_installed: Callable[[], None] = _nothing_needed


class SpeechModel(Protocol):
    """A trained model that tells English from Chinese."""

    spec: ClassVar[SpeechModelSpec]

    @property
    def card(self) -> ModelCard:
        """Where the model comes from; ``card.config["sources"]`` lists the sources it learned."""
        ...

    @classmethod
    def fit(
        cls,
        manifest: Manifest,
        cache: FeatureCache,
        *,
        seed: int,
        epochs: int | None = None,
        progress: Progress = ...,
        cancelled: Cancelled = ...,
        checkpoint: Path | None = None,
    ) -> Self:
        """Train on all clips of a manifest.

        Args:
            manifest: The training part, both languages.
            cache: Of the kind that :attr:`spec` names; gives the clips' features, and computes
                what is missing.
            seed: Decides weights, order and augmentation: the same arguments, the same bits.
            epochs: Passes over the clips; the model's own number if left out. A model without
                passes leaves it alone.
            progress: Told (step, total, message).
            cancelled: Asked before each step.
            checkpoint: A folder where finished parts are kept, so that a second call with the same
                arguments goes on after them.

        Raises:
            LearningError: One language only, too few clips, a cache of another kind, a diverging
                loss, unreadable clips.
            LearningCancelledError: ``cancelled`` said so.
        """
        ...

    def predict(self, waveforms: Sequence[Waveform]) -> SpeechPredictions:
        """Score clips: mono float32 at 16 kHz, of any length; windows vote within a clip."""
        ...

    def predict_features(self, clips: Sequence[AnyFeatures]) -> SpeechPredictions:
        """Score clips whose features are known, each (frames, COLUMNS)."""
        ...

    def save(self, directory: Path) -> None:
        """Write the artefact: ``model.safetensors`` and ``model.json``."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        ...


def empty_predictions(embedding: int) -> SpeechPredictions:
    """Return predictions of no clips."""
    return SpeechPredictions(np.zeros((0, 2)), np.zeros(0), np.zeros((0, embedding)))
