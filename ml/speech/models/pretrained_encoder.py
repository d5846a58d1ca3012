"""The pretrained encoder model: a linear head on a frozen speech encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.errors import LearningCancelledError, LearningError
from ml.speech.augmentation.codecs import Waveform
from ml.speech.data.manifest import Manifest, check_trainable
from ml.speech.data.pairs import inner_split
from ml.speech.frontend.cache import CLEAN, FeatureCache, augmented_variants
from ml.speech.models.base import SpeechModelSpec, SpeechPredictions, empty_predictions
from ml.speech.models.calibration import fit_temperature, probabilities
from ml.speech.pretrained.cache import EncodingCache
from ml.speech.pretrained.encoder import (
    BLOCK,
    COLUMNS,
    SECONDS,
    SPEECH,
    STATISTICS,
    WIDTH,
    WINDOW_S,
    SpeechEncoder,
    check_installed,
)
from ml.speech.pretrained.head import RIDGE, LinearHead, clip_importance
from ml.training.callbacks import Cancelled, Progress

Encoding = npt.NDArray[Any]
"""Shape (windows, COLUMNS)."""


@dataclass(frozen=True)
class HeadConfig:
    """Hyperparameters.

    Attributes:
        variants: Augmented copies of each clip beside the clean one.
        ridge: On the head's slopes.
        calibration_pairs: Pairs of sources left out in turn to find the temperature.
    """

    variants: int = 2
    ridge: float = RIDGE
    calibration_pairs: int = 4


@dataclass(frozen=True)
class PretrainedEncoderModel:
    """Tells languages by what a pretrained encoder makes of them.

    Attributes:
        card: Where the model comes from; ``config["encoder_sha256"]`` names the weights below.
        head: The part that was trained here.
        temperature: Divides the logits.
        encoder: The frozen part.
    """

    spec: ClassVar[SpeechModelSpec] = SpeechModelSpec(
        "pretrained_encoder",
        "a linear head on an encoder that others trained",
        cache=EncodingCache,
        robust=True,
        pretrained=True,
        check_installed=check_installed,
    )

    card: ModelCard
    head: LinearHead = field(repr=False)
    temperature: float
    encoder: SpeechEncoder = field(repr=False)

    @classmethod
    def fit(
        cls,
        manifest: Manifest,
        cache: FeatureCache,
        *,
        seed: int,
        epochs: int | None = None,
        progress: Progress = lambda _step, _total, _message: None,
        cancelled: Cancelled = lambda: False,
        checkpoint: Path | None = None,
    ) -> Self:
        """Fit the head on all clips of a manifest; see :class:`ml.speech.models.base.SpeechModel`.

        Args:
            manifest: The training part.
            cache: An :class:`EncodingCache`: this model reads no log-mel features of ours.
            seed: Chooses the sources that calibrate; the fit itself has one solution.
            epochs: Not needed; the fit has no passes.
            progress: Told (step, total, message).
            cancelled: Asked before each step.
            checkpoint: Not needed; a fit takes seconds.

        Raises:
            LearningError: As the protocol says, and ``wrongFeatures`` for another cache.
        """
        del epochs, checkpoint
        if not isinstance(cache, EncodingCache):
            raise LearningError(
                f"{cls.spec.name} learns from encodings: pass an EncodingCache",
                reason="wrongFeatures",
            )
        check_trainable(manifest)
        config = HeadConfig()
        variants = [CLEAN, *augmented_variants(config.variants)]
        cache.ensure(manifest, variants, progress=progress, cancelled=cancelled)
        clips = [cache.read(manifest, variant) for variant in variants]
        total = 1 + config.calibration_pairs
        head = _fitted(manifest, clips)
        progress(1, total, "fitting the head")
        logits, labels = [], []
        for turn in range(config.calibration_pairs):
            if cancelled():
                raise LearningCancelledError
            inner = inner_split(manifest, seed=seed * config.calibration_pairs + turn)
            if inner is not None:
                learned, held_out = inner
                part = _fitted(manifest.take(learned), [[v[row] for row in learned] for v in clips])
                logits.append(_clip_logits(part, [v[row] for v in clips for row in held_out]))
                labels.append(np.tile(manifest.labels[held_out], len(clips)))
            progress(2 + turn, total, "calibrating on sources left out")
        card = ModelCard(
            dataset=manifest.sha256,
            seed=seed,
            config={
                "head": asdict(config),
                "sources": sorted(set(manifest.sources)),
                "pretrained": "Smart Turn v3 (Whisper-tiny encoder), from pipecat-ai",
                "encoder_sha256": cache.encoder.sha256,
            },
            preprocessing={"window_s": WINDOW_S, "block": BLOCK, "statistics": "mean, deviation"},
        )
        temperature = 1.0
        if logits:
            temperature = fit_temperature(np.concatenate(logits), np.concatenate(labels))
        return cls(card, head, temperature, cache.encoder)

    def predict(self, waveforms: Sequence[Waveform]) -> SpeechPredictions:
        """Score clips: mono float32 at 16 kHz, of any length; windows vote within a clip."""
        return self.predict_features([self.encoder.encode(waveform) for waveform in waveforms])

    def predict_features(self, clips: Sequence[Encoding]) -> SpeechPredictions:
        """Score clips whose encodings are known, each (windows, COLUMNS)."""
        if not len(clips):
            return empty_predictions(2 * WIDTH)
        return SpeechPredictions(
            probabilities(_clip_logits(self.head, clips), self.temperature),
            np.array([_by_seconds(clip, clip[:, SPEECH]) for clip in clips]),
            np.stack([_by_seconds(clip, clip[:, STATISTICS]) for clip in clips]),
        )

    def with_metrics(self, metrics: Mapping[str, object]) -> Self:
        """Return the same model with its evaluation on the card."""
        return replace(self, card=replace(self.card, metrics=metrics))

    def save(self, directory: Path) -> None:
        """Write the artefact: the head only. The encoder stays where it is installed."""
        tensors = self.head.tensors() | {"temperature": np.array([self.temperature])}
        write_artifact(directory, self.spec.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path, *, encoder: SpeechEncoder | None = None) -> Self:
        """Read an artefact back.

        Args:
            directory: Where :meth:`save` wrote.
            encoder: That of the wheel if left out.

        Raises:
            LearningError: Damaged, or fitted on another encoder (``encoderMismatch``).
        """
        _, card, tensors = read_artifact(directory, cls.spec.name)
        encoder = encoder or SpeechEncoder()
        wanted = card.config["encoder_sha256"]
        if encoder.sha256 != wanted:
            raise LearningError(
                f"the model was fitted on the encoder {wanted[:12]}, installed is"
                f" {encoder.sha256[:12]}: install the same pipecat-ai as then, or train again",
                reason="encoderMismatch",
            )
        return cls(
            card, LinearHead.from_tensors(tensors), float(tensors["temperature"][0]), encoder
        )


def _fitted(manifest: Manifest, variants: Sequence[Sequence[Encoding]]) -> LinearHead:
    """Fit a head to the windows of all variants of the clips."""
    importance, labels = clip_importance(manifest), manifest.labels
    rows = [
        (clip, importance[number] / len(clip), labels[number])
        for variant in variants
        for number, clip in enumerate(variant)
    ]
    columns = np.concatenate([clip for clip, _, _ in rows]).astype(np.float64)
    counts = [len(clip) for clip, _, _ in rows]
    return LinearHead.fit(
        columns[:, STATISTICS],
        np.repeat([float(label) for _, _, label in rows], counts),
        np.repeat([share for _, share, _ in rows], counts),
    )


def _clip_logits(head: LinearHead, clips: Sequence[Encoding]) -> FloatArray:
    """Return (N, 2) logits; a clip's windows vote by their length."""
    assert all(clip.shape[1] == COLUMNS for clip in clips)
    chinese = [
        _by_seconds(clip, head.logits(clip[:, STATISTICS].astype(np.float64))) for clip in clips
    ]
    return np.column_stack([np.zeros(len(clips)), chinese])


def _by_seconds(clip: Encoding, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.average(values.astype(np.float64), axis=0, weights=clip[:, SECONDS] + 1e-3)
