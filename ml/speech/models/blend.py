"""Two kinds of networks that err differently, and one answer."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import FloatArray
from ml.artifacts import ModelCard, read_artifact
from ml.runtime.device import choose_device
from ml.speech.data.manifest import Manifest
from ml.speech.data.pairs import inner_split
from ml.speech.frontend.cache import CLEAN, FeatureCache
from ml.speech.frontend.features import AnyFeatures
from ml.speech.models.base import SpeechModelSpec
from ml.speech.models.calibration import fit_temperature
from ml.speech.models.network_model import NetworkModel, config_of, networks_of
from ml.speech.models.spectrogram_cnn import SpectrogramCnnModel
from ml.speech.models.tdnn import TdnnModel
from ml.speech.models.training import SpeechConfig, clip_logits
from ml.training.callbacks import Cancelled, Progress


class BlendModel(NetworkModel):
    """The mean of the spectrogram CNN's and the TDNN's logits.

    Of the hyperparameters that :meth:`fit_with` is given ``epochs``, ``members`` and ``calibrated``
    count; the rest is each kind's own. With the same checkpoint folder the networks that the kinds
    have trained for themselves are used again.
    """

    spec: ClassVar[SpeechModelSpec] = SpeechModelSpec("blend", "the CNN and the TDNN together")
    default: ClassVar[SpeechConfig] = TdnnModel.default
    kinds: ClassVar[tuple[type[NetworkModel], ...]] = (SpectrogramCnnModel, TdnnModel)

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
        """Train both kinds on all clips of a manifest."""
        inner = inner_split(manifest, seed=seed) if config.calibrated else None

        def fitted(part: Manifest, place: int, total: int) -> list[NetworkModel]:
            models = []
            for number, kind in enumerate(cls.kinds, start=place):
                own = replace(
                    kind.default, epochs=config.epochs, members=config.members, calibrated=False
                )

                def over_all(step: int, steps: int, message: str, number: int = number) -> None:
                    progress(number * steps + step, total * steps, message)

                models.append(
                    kind.fit_with(
                        own,
                        part,
                        cache,
                        seed=seed,
                        progress=over_all,
                        cancelled=cancelled,
                        checkpoint=checkpoint,
                    )
                )
            return models

        total = len(cls.kinds) * (2 if inner else 1)
        models = fitted(manifest, 0, total)
        temperature = 1.0
        if inner:
            rows, left_out = inner
            calibrating = cls._joined(fitted(manifest.take(rows), len(cls.kinds), total), config)
            held_out = manifest.take(left_out)
            logits, _ = calibrating.logits(cache.read(held_out, CLEAN))
            temperature = fit_temperature(logits, held_out.labels)
        joined = cls._joined(models, config)
        card = replace(joined.card, dataset=manifest.sha256)
        return replace(joined, card=card, temperature=temperature)

    @classmethod
    def _joined(cls, models: Sequence[NetworkModel], config: SpeechConfig) -> Self:
        last = models[-1]
        parts = [model.card.config["network"] for model in models]
        card: ModelCard = replace(
            last.card,
            config={**last.card.config, "network": asdict(config), "parts": parts},
        )
        networks = [network for model in models for network in model.networks]
        return cls(card, config, networks, 1.0, last.speech_detector)

    def logits(self, clips: Sequence[AnyFeatures]) -> tuple[FloatArray, FloatArray]:
        """Return the mean logits (N, 2) and the embeddings side by side."""
        device = choose_device()
        found = []
        for place, part in enumerate(_parts(self.card)):
            start = place * part.members
            found += [
                clip_logits(network, clips, part.windows, device)
                for network in self.networks[start : start + part.members]
            ]
        return np.mean([one for one, _ in found], axis=0), np.concatenate(
            [embedding for _, embedding in found], axis=1
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.spec.name)
        members = [
            kind.architecture
            for kind, part in zip(cls.kinds, _parts(card), strict=True)
            for _ in range(part.members)
        ]
        return cls.from_tensors(card, networks_of(tensors, members), tensors)


def _parts(card: ModelCard) -> list[SpeechConfig]:
    """Return the hyperparameters of each kind, in the order of :attr:`BlendModel.kinds`."""
    return [config_of({"network": part}) for part in card.config["parts"]]
