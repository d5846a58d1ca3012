"""What a recording goes through on its way to a listener, drawn at random for both languages alike.

Speed, room, microphone, band, noise, clipping and codec. Which of them a clip meets depends on the
generator only, never on its language or source.
"""

import numpy as np
import torch

from ml.speech.augmentation.codecs import (
    SAMPLE_RATE,
    TRAINING_CODECS,
    Waveform,
    round_trip,
)

SPEEDS = ((9, 10), (19, 20), (1, 1), (21, 20), (11, 10))
"""Faster or slower by up to a tenth, as a ratio; pitch moves along."""


IN_A_ROOM = 0.4
THROUGH_A_MICROPHONE = 0.8
WITH_NOISE = 0.6
CLIPPED = 0.1
CODED = 0.6
LOW_PASSED = 0.35
HIGH_PASSED = 0.3
"""Shares of the clips that meet each."""


def augmented(waveform: Waveform, generator: np.random.Generator) -> Waveform:
    """Return another recording of the same words; repeatable by the generator's seed."""
    result = _at_speed(waveform, SPEEDS[generator.integers(len(SPEEDS))])
    if generator.random() < IN_A_ROOM:
        result = _in_a_room(result, generator)
    if generator.random() < THROUGH_A_MICROPHONE:
        result = _through_a_microphone(result, generator)
    if generator.random() < WITH_NOISE:
        result = _with_noise(result, generator)
    if generator.random() < CLIPPED:
        limit = np.quantile(np.abs(result), generator.uniform(0.97, 0.999))
        result = np.clip(result, -limit, limit)
    result = _levelled(result, generator.uniform(-20, -3))
    if generator.random() < CODED:
        result = round_trip(result, TRAINING_CODECS[generator.integers(len(TRAINING_CODECS))])
    return result


def coloured_noise(samples: int, exponent: float, generator: np.random.Generator) -> Waveform:
    """Return noise of unit variance whose power falls with frequency to the ``exponent``."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum * np.maximum(frequency, 30.0) ** (-exponent / 2), samples)
    result: Waveform = (noise / max(noise.std(), 1e-9)).astype(np.float32)
    return result


def _at_speed(waveform: Waveform, ratio: tuple[int, int]) -> Waveform:
    if ratio == (1, 1):
        return waveform
    from torchaudio.functional import resample  # noqa: PLC0415 - of the extra `speech`

    changed: Waveform = resample(torch.from_numpy(waveform), ratio[0], ratio[1]).numpy()
    return changed


def _in_a_room(waveform: Waveform, generator: np.random.Generator) -> Waveform:
    """Convolve with noise that decays, after a direct sound (Polack 1988)."""
    decay = generator.uniform(0.1, 0.7)
    length = int(decay * SAMPLE_RATE)
    time = np.arange(length) / SAMPLE_RATE
    tail = generator.standard_normal(length) * 10 ** (-3 * time / decay)
    tail[: int(0.002 * SAMPLE_RATE)] = 0.0
    tail *= 10 ** (-generator.uniform(0, 15) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    size = len(waveform) + length
    wet = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(tail, size), size)
    return wet[: len(waveform)].astype(np.float32)


def _through_a_microphone(waveform: Waveform, generator: np.random.Generator) -> Waveform:
    """Apply a smooth random response, at times with the edges of the band cut off."""
    frequency = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    octave = np.log2(np.maximum(frequency, 40.0) / 40.0)
    points = np.linspace(0, octave.max(), 8)
    response = np.interp(octave, points, generator.normal(0, 4, len(points)))
    response += generator.uniform(-3, 3) * (octave - octave.mean())
    if generator.random() < LOW_PASSED:
        edge = np.exp(generator.uniform(np.log(3200), np.log(7500)))
        response -= 60 * np.clip(np.log2(np.maximum(frequency, 1) / edge) * 4, 0, 1)
    if generator.random() < HIGH_PASSED:
        edge = generator.uniform(80, 350)
        response -= 30 * np.clip(np.log2(edge / np.maximum(frequency, 1)), 0, 1)
    shaped = np.fft.irfft(np.fft.rfft(waveform) * 10 ** (response / 20), len(waveform))
    return shaped.astype(np.float32)


def _with_noise(waveform: Waveform, generator: np.random.Generator) -> Waveform:
    noise = coloured_noise(len(waveform), generator.uniform(0, 2), generator)
    ratio = generator.uniform(8, 35)
    loud = np.sqrt(np.quantile(waveform**2, 0.9))
    return waveform + noise * np.float32(loud * 10 ** (-ratio / 20))


def _levelled(waveform: Waveform, decibels: float) -> Waveform:
    peak = float(np.abs(waveform).max())
    return waveform * np.float32(10 ** (decibels / 20) / max(peak, 1e-6))
