"""Two invented languages that a speech detector finds, and a model that learned them in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.cache import FeatureCache
from ml.speech.models.network_model import NetworkModel
from ml.speech.models.spectrogram_cnn import SpectrogramCnnModel
from ml.speech.models.training import SpeechConfig
from tests.support import sound
from tests.support.speech import TINY, spoken, write_wav

CONFIG = replace(TINY, epochs=12)


def spoken_in(language: str, seed: int, seconds: float = 3.0) -> np.ndarray:
    """Return level tones that hiss in between for ``en``, vowels for ``zh``."""
    if language == "en":
        return spoken("en", np.random.default_rng(seed), seconds)
    return sound.voiced(seconds, seed=seed).astype(np.float32)


def trained_model(
    folder: Path, *, seed: int = 0, config: SpeechConfig = CONFIG, each: int = 20
) -> NetworkModel:
    """Train the smallest network on 40 invented clips, or as many of each language."""
    clips = []
    for language in ("en", "zh"):
        for number in range(each):
            path = folder / f"{language}-{number}.wav"
            write_wav(path, spoken_in(language, 100 + number))
            clips.append(
                Clip(
                    clip_id=path.name,
                    path=str(path),
                    language=language,
                    speaker=f"{language}{number % 4}",
                    source=f"{language}{number % 2}",
                    recording=path.name,
                    codec="wav",
                    seconds=3.0,
                )
            )
    cache = FeatureCache(folder / "features")
    return SpectrogramCnnModel.fit_with(config, Manifest(tuple(clips)), cache, seed=seed)
