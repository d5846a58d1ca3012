"""Models of our own networks: their logits averaged, a temperature, and the speech detector."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from ml.arrays import FloatArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.runtime.device import choose_device
from ml.runtime.files import replaced
from ml.speech.augmentation.codecs import Waveform
from ml.speech.data.manifest import Manifest, check_trainable
from ml.speech.data.pairs import inner_split
from ml.speech.frontend.cache import CLEAN, FeatureCache, augmented_variants
from ml.speech.frontend.features import COLUMNS, AnyFeatures, FrontEnd, features
from ml.speech.frontend.windows import WindowConfig
from ml.speech.models.base import SpeechModelSpec, SpeechPredictions, empty_predictions
from ml.speech.models.calibration import fit_temperature, probabilities
from ml.speech.models.network import SpeechNet
from ml.speech.models.sampling import SamplingConfig
from ml.speech.models.speech_detector import SpeechDetector
from ml.speech.models.training import (
    SpeechConfig,
    clip_logits,
    train_network,
    training_steps,
)
from ml.training.callbacks import Cancelled, Progress

DETECTOR_CLIPS = 400
"""So many training clips at most teach the speech detector what speech is."""


@dataclass(frozen=True)
class NetworkModel:
    """One or more networks of one architecture. A model of another is a subclass of this one.

    Attributes:
        spec: What the model declares of itself.
        architecture: Builds a network for a number of input columns.
        default: Its own hyperparameters.
        card: Where the model comes from.
        config: Hyperparameters.
        networks: In evaluation mode; their logits are averaged.
        temperature: Divides the logits.
        speech_detector: Tells speech from other sounds.
    """

    spec: ClassVar[SpeechModelSpec]
    architecture: ClassVar[type[SpeechNet]]
    default: ClassVar[SpeechConfig]

    card: ModelCard
    config: SpeechConfig
    networks: Sequence[SpeechNet] = field(repr=False)
    temperature: float
    speech_detector: SpeechDetector = field(repr=False)

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
        """Train on all clips of a manifest; see :class:`ml.speech.models.base.SpeechModel`."""
        return cls.fit_with(
            cls.default if epochs is None else replace(cls.default, epochs=epochs),
            manifest,
            cache,
            seed=seed,
            progress=progress,
            cancelled=cancelled,
            checkpoint=checkpoint,
        )

    @classmethod
    def fit_with(
        cls,
        config: SpeechConfig,
        manifest: Manifest,
        cache: FeatureCache,
        *,
        seed: int,
        progress: Progress = lambda _step, _total, _message: None,
        cancelled: Cancelled = lambda: False,
        checkpoint: Path | None = None,
    ) -> Self:
        """Train with other hyperparameters than the model's own; otherwise as :meth:`fit`."""
        check_trainable(manifest)
        variants = [CLEAN, *augmented_variants(config.sampling.variants)]
        cache.ensure(manifest, variants, progress=progress, cancelled=cancelled)
        clips = {variant: cache.read(manifest, variant) for variant in variants}
        inner = inner_split(manifest, seed=seed) if config.calibrated else None
        trainer = _Trainer(
            cls.architecture, config, manifest, clips, seed, progress, cancelled, checkpoint
        )
        trainer.expect([len(manifest)] * config.members + ([len(inner[0])] if inner else []))
        everything = np.arange(len(manifest))
        networks = [
            trainer.network(f"member {number + 1} of {config.members}", everything, number)
            for number in range(config.members)
        ]
        temperature = 1.0
        if inner:
            rows, held_out = inner
            network = trainer.network("the calibration's network", rows, 0)
            unseen = [clips[CLEAN][row] for row in held_out]
            logits, _ = clip_logits(network, unseen, config.windows, trainer.device)
            temperature = fit_temperature(logits, manifest.labels[held_out])
        card = ModelCard(
            dataset=manifest.sha256,
            seed=seed,
            config=config_json(config) | {"sources": sorted(set(manifest.sources))},
            preprocessing=asdict(FrontEnd()),
            device=trainer.device.description,
        )
        return cls(card, config, networks, temperature, _speech_detector(clips))

    def predict(self, waveforms: Sequence[Waveform]) -> SpeechPredictions:
        """Score clips: mono float32 at 16 kHz, of any length; windows vote within a clip."""
        return self.predict_features([features(waveform) for waveform in waveforms])

    def predict_features(self, clips: Sequence[AnyFeatures]) -> SpeechPredictions:
        """Score clips whose features are known, each (frames, COLUMNS)."""
        if not len(clips):
            return empty_predictions(sum(network.embedding for network in self.networks))
        logits, embedding = self.logits(clips)
        return SpeechPredictions(
            probabilities(logits, self.temperature),
            self.speech_detector.probability(clips),
            embedding,
        )

    def logits(self, clips: Sequence[AnyFeatures]) -> tuple[FloatArray, FloatArray]:
        """Return the networks' mean logits (N, 2) and their embeddings side by side."""
        device = choose_device()
        found = [
            clip_logits(network, clips, self.config.windows, device) for network in self.networks
        ]
        return np.mean([one for one, _ in found], axis=0), np.concatenate(
            [embedding for _, embedding in found], axis=1
        )

    def with_metrics(self, metrics: Mapping[str, object]) -> Self:
        """Return the same model with its evaluation on the card."""
        return replace(self, card=replace(self.card, metrics=metrics))

    def save(self, directory: Path) -> None:
        """Write the artefact."""
        tensors: dict[str, npt.NDArray[Any]] = {
            f"network.{number}.{key}": value.cpu().numpy()
            for number, network in enumerate(self.networks)
            for key, value in network.state_dict().items()
        }
        tensors |= self.speech_detector.tensors() | {"temperature": np.array([self.temperature])}
        write_artifact(directory, self.spec.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.spec.name)
        members = [cls.architecture] * config_of(card.config).members
        return cls.from_tensors(card, networks_of(tensors, members), tensors)

    @classmethod
    def from_tensors(
        cls, card: ModelCard, networks: Sequence[SpeechNet], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """Put a model together from what its artefact holds."""
        temperature = float(tensors["temperature"][0])
        detector = SpeechDetector.from_tensors(tensors)
        return cls(card, config_of(card.config), networks, temperature, detector)


def config_json(config: SpeechConfig) -> dict[str, Any]:
    """Return hyperparameters as JSON values."""
    return {"network": asdict(config)}


def networks_of(
    tensors: Mapping[str, npt.NDArray[Any]], architectures: Sequence[type[SpeechNet]]
) -> list[SpeechNet]:
    """Build the networks of an artefact, whose architectures are given in its order."""
    networks = []
    for number, architecture in enumerate(architectures):
        network = architecture(COLUMNS)
        prefix = f"network.{number}."
        state = {
            key.removeprefix(prefix): torch.tensor(value)
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        network.load_state_dict(state)
        networks.append(network.eval())
    return networks


def config_of(config: Mapping[str, Any]) -> SpeechConfig:
    """Return the hyperparameters that :func:`config_json` wrote."""
    content = dict(config["network"])
    windows = WindowConfig(**content.pop("windows"))
    sampling = SamplingConfig(**content.pop("sampling"))
    return SpeechConfig(windows=windows, sampling=sampling, **content)


class _Trainer:
    """Trains networks one after the other, counts steps over all, keeps what is finished."""

    def __init__(
        self,
        architecture: type[SpeechNet],
        config: SpeechConfig,
        manifest: Manifest,
        clips: Mapping[str, Sequence[npt.NDArray[np.float16]]],
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
        checkpoint: Path | None,
    ) -> None:
        self.device = choose_device()
        self._architecture = architecture
        self._config = config
        self._manifest = manifest
        self._clips = clips
        self._seed = seed
        self._progress = progress
        self._cancelled = cancelled
        self._checkpoint = checkpoint
        self._done = self._total = 0

    def expect(self, sizes: Sequence[int]) -> None:
        """Say how many clips each network will learn from."""
        self._total = sum(training_steps(size, self._config) for size in sizes)

    def network(self, what: str, rows: npt.NDArray[np.int64], number: int) -> SpeechNet:
        """Train the network of a number on some rows, or read it back."""
        manifest = self._manifest.take(rows)
        kept = self._kept(manifest, number)
        if kept is not None and kept.exists():
            network = self._architecture(COLUMNS)
            network.load_state_dict(load_file(kept))
            self._done += training_steps(len(rows), self._config)
            return network.eval()
        network = train_network(
            self._architecture,
            manifest,
            [[variant[row] for row in rows] for variant in self._clips.values()],
            self._config,
            seed=self._seed * 100 + number,
            device=self.device,
            step=self._counter(f"training {what}"),
            cancelled=self._cancelled,
        )
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replaced(kept) as partial:
                save_file(network.state_dict(), partial)
        return network

    def _counter(self, message: str) -> Callable[[], None]:
        def step() -> None:
            self._done += 1
            self._progress(self._done, self._total, message)

        return step

    def _kept(self, manifest: Manifest, number: int) -> Path | None:
        if self._checkpoint is None:
            return None
        # How many networks there are changes none of them.
        own = replace(self._config, members=1, calibrated=False)
        content = json.dumps([asdict(own), asdict(FrontEnd()), manifest.sha256, self._seed, number])
        name = hashlib.sha256(content.encode()).hexdigest()[:16]
        return self._checkpoint / f"{name}.safetensors"


def _speech_detector(clips: Mapping[str, Sequence[npt.NDArray[np.float16]]]) -> SpeechDetector:
    """Fit the speech detector on an even share of the clips, over all variants in turn."""
    variants = list(clips.values())
    count = len(variants[0])
    chosen = np.unique(np.linspace(0, count - 1, min(count, DETECTOR_CLIPS)).astype(int))
    return SpeechDetector.fit(
        [variants[turn % len(variants)][row] for turn, row in enumerate(chosen)]
    )
