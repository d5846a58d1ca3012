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
from ml.speech.models.calibration import fit_temperature
from ml.speech.models.network_model import (
    NetworkRung,
    SpectrogramCnnRung,
    TdnnRung,
    config_of,
    networks_of,
)
from ml.speech.models.training import SpeechConfig, clip_logits
from ml.training.callbacks import Cancelled, Progress


class BlendRung(NetworkRung):
    """The mean of the spectrogram CNN's and the TDNN's logits.

    Of the hyperparameters that :meth:`fit` is given ``epochs``, ``members`` and ``calibrated``
    count; the rest is each kind's own. With the same checkpoint folder the networks that the kinds
    have trained for themselves are used again.
    """

    name: ClassVar[str] = "blend"
    default: ClassVar[SpeechConfig] = TdnnRung.default
    kinds: ClassVar[tuple[type[NetworkRung], ...]] = (SpectrogramCnnRung, TdnnRung)

    @classmethod
    def fit(
        cls,
        manifest: Manifest,
        cache: FeatureCache,
        *,
        seed: int,
        progress: Progress = lambda _step, _total, _message: None,
        cancelled: Cancelled = lambda: False,
        checkpoint: Path | None = None,
        config: SpeechConfig | None = None,
    ) -> Self:
        """Train both kinds on all clips of a manifest; see ``ml.speech.models.base.SpeechRung``."""
        config = config or cls.default
        inner = inner_split(manifest, seed=seed) if config.calibrated else None

        def fitted(part: Manifest, place: int, total: int) -> list[NetworkRung]:
            models = []
            for number, kind in enumerate(cls.kinds, start=place):
                own = replace(
                    kind.default, epochs=config.epochs, members=config.members, calibrated=False
                )

                def told(step: int, steps: int, message: str, number: int = number) -> None:
                    progress(number * steps + step, total * steps, message)

                models.append(
                    kind.fit(
                        part,
                        cache,
                        seed=seed,
                        config=own,
                        progress=told,
                        cancelled=cancelled,
                        checkpoint=checkpoint,
                    )
                )
            return models

        total = len(cls.kinds) * (2 if inner else 1)
        models = fitted(manifest, 0, total)
        temperature = 1.0
        if inner:
            rows, held_out = inner
            calibrating = cls._joined(fitted(manifest.take(rows), len(cls.kinds), total), config)
            unheard = manifest.take(held_out)
            logits, _ = calibrating.logits(cache.read(unheard, CLEAN))
            temperature = fit_temperature(logits, unheard.labels)
        joined = cls._joined(models, config)
        card = replace(joined.card, dataset=manifest.sha256)
        return replace(joined, card=card, temperature=temperature)

    @classmethod
    def _joined(cls, models: Sequence[NetworkRung], config: SpeechConfig) -> Self:
        last = models[-1]
        parts = [model.card.config["network"] for model in models]
        card: ModelCard = replace(
            last.card,
            config={**last.card.config, "network": asdict(config), "parts": parts},
        )
        networks = [network for model in models for network in model.networks]
        return cls(card, config, networks, 1.0, last.gate)

    def logits(self, clips: Sequence[AnyFeatures]) -> tuple[FloatArray, FloatArray]:
        """Return the mean logits (N, 2) and the embeddings side by side."""
        device = choose_device()
        found = []
        for place, part in enumerate(self._parts()):
            start = place * part.members
            found += [
                clip_logits(network, clips, part.windows, device)
                for network in self.networks[start : start + part.members]
            ]
        return np.mean([one for one, _ in found], axis=0), np.concatenate(
            [embedding for _, embedding in found], axis=1
        )

    def _parts(self) -> list[SpeechConfig]:
        return [config_of({"network": part}) for part in self.card.config["parts"]]

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        parts = [config_of({"network": part}) for part in card.config["parts"]]
        return cls.from_tensors(card, networks_of(tensors, parts), tensors)
