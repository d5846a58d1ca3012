"""The log-mel spectrogram that Whisper's encoders expect (Radford et al. 2022), in numpy.

Other than :mod:`ml.speech.frontend.features`: 80 bands on Slaney's mel scale, cut off 8 decades
below the loudest point. Weights only fit the features that they were trained on.
"""

from functools import lru_cache

import numpy as np

from ml.arrays import FloatArray
from ml.speech.augmentation.codecs import SAMPLE_RATE, Waveform

BANDS = 80
HOP = 160
WINDOW = 400
FLOOR = 1e-10
DECADES = 8.0
LINEAR_BELOW = 1_000.0
"""Slaney's scale is linear up to here and logarithmic above."""
HERTZ_A_MEL = 200 / 3
MELS_AN_E_FOLD = 27 / np.log(6.4)


def whisper_log_mel(samples: Waveform, *, seconds: int) -> Waveform:
    """Compute Whisper's features of one window.

    Args:
        samples: Mono, 16 kHz; padded with zeros or cut to the window.
        seconds: Length of the window: 30 for Whisper as published.

    Returns:
        Shape (80, 100 × seconds), float32, roughly in [-1, 1].
    """
    wanted = seconds * SAMPLE_RATE
    filled = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    padded = np.pad(filled.astype(np.float32), WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: wanted // HOP]
    taper = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * taper, axis=1)) ** 2
    levels = np.log10(np.maximum(power @ _mel_filters(), FLOOR)).T
    limited = np.maximum(levels, levels.max() - DECADES)
    scaled: Waveform = ((limited + 4) / 4).astype(np.float32)
    return scaled


@lru_cache(maxsize=1)
def _mel_filters() -> FloatArray:
    """Triangles of equal area, shape (WINDOW // 2 + 1, BANDS)."""
    frequency = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    corners = _hertz(np.linspace(0, _mel(SAMPLE_RATE / 2), BANDS + 2))
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequency[:, None] - lower) / (centre - lower)
    falling = (upper - frequency[:, None]) / (upper - centre)
    filters: FloatArray = np.maximum(0, np.minimum(rising, falling)) * 2 / (upper - lower)
    return filters


def _mel(hertz: float) -> float:
    above = np.log(max(hertz, LINEAR_BELOW) / LINEAR_BELOW) * MELS_AN_E_FOLD
    return float(min(hertz, LINEAR_BELOW) / HERTZ_A_MEL + above)


def _hertz(mels: FloatArray) -> FloatArray:
    knee = LINEAR_BELOW / HERTZ_A_MEL
    above = np.exp(np.maximum(mels - knee, 0) / MELS_AN_E_FOLD)
    hertz: FloatArray = np.minimum(mels, knee) * HERTZ_A_MEL * above
    return hertz
