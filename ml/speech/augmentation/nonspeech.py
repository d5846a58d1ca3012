"""Sounds that nobody speaks in, synthesised: what the speech detector learns to call unknown.

No recording of music or noise comes with the project, so the kinds are many and each is drawn
widely; real music and noise are for tests, never for training.
"""

from collections.abc import Callable

import numpy as np

from ml.speech.augmentation.codecs import SAMPLE_RATE, Waveform
from ml.speech.augmentation.waveform import coloured_noise

SECONDS = 3.0
HALF = 0.5
BEEPING = 0.4


def synthesised(kind: str, generator: np.random.Generator, seconds: float = SECONDS) -> Waveform:
    """Return one sound of a kind in ``KINDS``, at a random level, with a little noise."""
    samples = int(seconds * SAMPLE_RATE)
    sound = _KINDS[kind](samples, generator)
    peak = max(float(np.abs(sound).max()), 1e-6)
    level = 10 ** (generator.uniform(-30, -1) / 20)
    floor = coloured_noise(samples, generator.uniform(0, 2), generator)
    quiet = 10 ** (generator.uniform(-90, -45) / 20)
    scaled = sound / peak * level if kind != "silence" else sound
    return (scaled + quiet * floor).astype(np.float32)


def _noise(samples: int, generator: np.random.Generator) -> Waveform:
    return coloured_noise(samples, generator.uniform(-0.5, 2.5), generator)


def _silence(samples: int, _: np.random.Generator) -> Waveform:
    return np.zeros(samples, np.float32)


def _wavering_noise(samples: int, generator: np.random.Generator) -> Waveform:
    """Noise that swells like wind, waves, traffic or a crowd."""
    noise = coloured_noise(samples, generator.uniform(0, 2), generator)
    points = generator.integers(3, 24)
    levels = generator.uniform(-25, 0, points)
    swell = np.interp(np.linspace(0, points - 1, samples), np.arange(points), levels)
    return (noise * 10 ** (swell / 20)).astype(np.float32)


def _clicks(samples: int, generator: np.random.Generator) -> Waveform:
    """Footsteps, keys, clapping: short bursts that decay."""
    sound = np.zeros(samples)
    length = int(0.15 * SAMPLE_RATE)
    decay = np.exp(-np.arange(length) / (generator.uniform(0.003, 0.04) * SAMPLE_RATE))
    gap = generator.uniform(0.08, 0.7)
    at = 0.0
    while (start := int(at * SAMPLE_RATE)) < samples - length:
        burst = coloured_noise(length, generator.uniform(0, 2), generator) * decay
        sound[start : start + length] += burst * generator.uniform(0.3, 1)
        at += gap * generator.uniform(0.6, 1.4)
    return sound.astype(np.float32)


def _tone(samples: int, generator: np.random.Generator) -> Waveform:
    """A hum, a beep or a siren."""
    time = np.arange(samples) / SAMPLE_RATE
    pitch = np.exp(generator.uniform(np.log(50), np.log(3000)))
    sweep = generator.choice([0.0, generator.uniform(0, 0.5)])
    wave = pitch * 2 ** (sweep * np.sin(2 * np.pi * generator.uniform(0.1, 1.5) * time))
    phase = 2 * np.pi * np.cumsum(wave) / SAMPLE_RATE
    sound = sum(
        np.sin(order * phase) / order ** generator.uniform(0.8, 2)
        for order in range(1, generator.integers(2, 12))
    )
    if generator.random() < BEEPING:
        sound = sound * (np.sin(2 * np.pi * generator.uniform(0.5, 4) * time) > 0)
    return np.asarray(sound, dtype=np.float32)


def _music(samples: int, generator: np.random.Generator) -> Waveform:
    """Notes of a scale on invented instruments: chords, a melody, at times drums."""
    sound = np.zeros(samples)
    root = np.exp(generator.uniform(np.log(80), np.log(330)))
    scale = (
        np.array([0, 2, 4, 5, 7, 9, 11])
        if generator.random() < HALF
        else np.array([0, 2, 3, 5, 7, 8, 10])
    )
    beat = generator.uniform(0.15, 0.7)
    for voice in range(generator.integers(1, 4)):
        instrument = _Instrument(generator)
        at = 0.0
        while at * SAMPLE_RATE < samples:
            length = beat * generator.choice([0.5, 1, 1, 2, 4])
            degrees = generator.integers(0, 7, size=3 if voice else 1)
            for degree in degrees:
                octave = generator.integers(0, 3)
                pitch = root * 2 ** (scale[degree] / 12 + octave)
                instrument.play(sound, at, length, pitch)
            at += length
    if generator.random() < HALF:
        peak = np.abs(sound).max() + 1e-9
        drums = _clicks(samples, generator)
        sound += drums * peak / (np.abs(drums).max() + 1e-9) * generator.uniform(0.2, 1)
    return sound.astype(np.float32)


class _Instrument:
    """Overtones, an envelope and vibrato that stay the same from note to note."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._overtones = generator.uniform(0, 1, 10) / np.arange(1, 11) ** generator.uniform(
            0.5, 2
        )
        self._decay = generator.uniform(0.1, 3)
        self._attack = generator.uniform(0.003, 0.15)
        self._vibrato = generator.choice([0.0, generator.uniform(0, 0.01)])

    def play(
        self, sound: np.typing.NDArray[np.float64], at: float, length: float, pitch: float
    ) -> None:
        """Add a note."""
        start = int(at * SAMPLE_RATE)
        count = min(int((length + 0.1) * SAMPLE_RATE), len(sound) - start)
        time = np.arange(max(count, 0)) / SAMPLE_RATE
        envelope = np.minimum(time / self._attack, 1) * np.exp(-time / self._decay)
        envelope *= np.clip((length + 0.1 - time) / 0.08, 0, 1)
        phase = 2 * np.pi * pitch * (time + self._vibrato / 5 * np.sin(2 * np.pi * 5 * time))
        for order, strength in enumerate(self._overtones, start=1):
            if order * pitch < SAMPLE_RATE / 2:
                sound[start : start + count] += strength * envelope * np.sin(order * phase)


_KINDS: dict[str, Callable[[int, np.random.Generator], Waveform]] = {
    "silence": _silence,
    "noise": _noise,
    "wavering noise": _wavering_noise,
    "clicks": _clicks,
    "tone": _tone,
    "music": _music,
}
KINDS = tuple(_KINDS)
