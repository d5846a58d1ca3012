"""Two invented languages for the learning tests: tones that jump and glide, or stay and hiss."""

import wave
from pathlib import Path

import numpy as np

from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.windows import WindowConfig
from ml.speech.models.sampling import SamplingConfig
from ml.speech.models.training import SpeechConfig

RATE = 16_000
TINY = SpeechConfig(
    epochs=2,
    batch_size=16,
    learning_rate=5e-3,
    windows=WindowConfig(seconds=1.0, hop_seconds=0.5),
)
TINY_TDNN = SpeechConfig(
    network="tdnn",
    epochs=3,
    batch_size=16,
    learning_rate=5e-3,
    smoothing=0.05,
    adversary=0.1,
    averaged=0.3,
    members=2,
    windows=WindowConfig(
        seconds=1.0, hop_seconds=0.5, normalise_variance=True, pitch=True, shorten_pauses=True
    ),
    sampling=SamplingConfig(
        variants=1, balanced=True, bilingual_weight=2.0, mixed=0.3, spliced=0.3
    ),
)


def spoken(language: str, generator: np.random.Generator, seconds: float = 1.6) -> np.ndarray:
    """Syllables with overtones: "zh" glides in pitch, "en" stays level and hisses in between."""
    parts = []
    pitch = generator.uniform(110, 220)
    while sum(map(len, parts)) < seconds * RATE:
        count = int(generator.uniform(0.12, 0.2) * RATE)
        time = np.arange(count) / RATE
        glide = 2 ** (generator.choice([-4, 4]) * time) if language == "zh" else np.ones(count)
        phase = 2 * np.pi * np.cumsum(pitch * generator.uniform(0.9, 1.1) * glide) / RATE
        voice = sum(np.sin(order * phase) / order for order in range(1, 9))
        parts.append(voice * np.hanning(count))
        if language == "en":
            parts.append(np.diff(generator.standard_normal(801)) * 0.4)
        parts.append(np.zeros(400))
    sound = np.concatenate(parts)[: int(seconds * RATE)]
    return (0.2 * sound / np.abs(sound).max()).astype(np.float32)


def write_clips(folder: Path, *, clips: int = 4, seed: int = 0) -> Manifest:
    """Three sources a language with two speakers each, and one whose speakers speak both."""
    generator = np.random.default_rng(seed)
    found = []
    cells = [
        (f"{language}{number}", language, f"{language}{number}-{speaker}")
        for language in ("en", "zh")
        for number in range(3)
        for speaker in range(2)
    ]
    cells += [("both", language, f"both-{s}") for language in ("en", "zh") for s in range(3)]
    for source, language, speaker in cells:
        for number in range(clips):
            path = folder / f"{source}-{speaker}-{language}-{number}.wav"
            sound = spoken(language, generator)
            write_wav(path, sound)
            found.append(
                Clip(
                    clip_id=path.name,
                    path=str(path),
                    language=language,
                    speaker=speaker,
                    source=source,
                    recording=path.name,
                    codec="wav",
                    seconds=len(sound) / RATE,
                    snr=float(generator.uniform(5, 45)),
                )
            )
    return Manifest(tuple(found))


def write_wav(path: Path, sound: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
