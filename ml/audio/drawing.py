"""Spectrograms for people: sound as a picture, drawn a stretch at a time."""

import io
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from ml.audio.arrays import SampleArray
from ml.audio.decoding import SAMPLE_RATE

WIDTH, HEIGHT = 960, 96
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
DEPTH_DB = 60.0
"""How far below the loudest a band is drawn as quiet."""
QUIETEST_DB = 0.0
"""Of the loudest band: whispers have more, so that what is drawn bright is some sound."""
_WINDOW = 512
_WINDOWS_A_COLUMN = 4
_STOPS = (
    (4, 4, 20),
    (60, 15, 110),
    (140, 40, 130),
    (220, 80, 100),
    (254, 170, 110),
    (252, 250, 190),
)
_QUALITY = 80


class Spectrogram:
    """A picture of ``seconds`` of sound, of which stretches are added; the rest stays dark."""

    def __init__(self, seconds: float) -> None:
        """Begin with silence."""
        self._seconds = max(seconds, 1e-3)
        self._power = np.zeros((HEIGHT, WIDTH))

    def add(self, start_s: float, samples: SampleArray) -> None:
        """Add a stretch: mono at 16 kHz, beginning at ``start_s``."""
        length = len(samples) / SAMPLE_RATE
        first = int(WIDTH * start_s / self._seconds)
        last = min(WIDTH, max(first + 1, round(WIDTH * (start_s + length) / self._seconds)))
        if first >= last or not len(samples):
            return
        padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
        columns = last - first
        starts = np.linspace(0, len(padded) - _WINDOW, columns * _WINDOWS_A_COLUMN).astype(int)
        windows = padded[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
        power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
        bands = power @ _bands().T
        self._power[:, first:last] = bands.reshape(columns, _WINDOWS_A_COLUMN, HEIGHT).mean(1).T

    def jpeg(self) -> bytes:
        """Return the picture, low bands at the bottom."""
        decibels = 10 * np.log10(self._power + 1e-9)
        loudest = max(float(decibels.max()), QUIETEST_DB)
        shade = np.clip((decibels - loudest + DEPTH_DB) / DEPTH_DB, 0, 1)[::-1]
        places = np.linspace(0, 1, len(_STOPS))
        channels = [np.interp(shade, places, [stop[c] for stop in _STOPS]) for c in range(3)]
        encoded = io.BytesIO()
        image = Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
        image.save(encoded, "JPEG", quality=_QUALITY)
        return encoded.getvalue()


@cache
def _bands() -> npt.NDArray[np.float64]:
    """Return how much each bin of a transform adds to each mel band, (HEIGHT, bins)."""
    bins = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    edges = _hertz(np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), HEIGHT + 2))
    # Low bands are narrower than a bin; each takes at least its nearest one.
    width = np.maximum(np.diff(edges), bins[1])
    rising = 1 - np.abs(bins - edges[1:-1, None]) / np.maximum(width[:-1], width[1:])[:, None]
    found: npt.NDArray[np.float64] = np.clip(rising, 0, None)
    return found


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = 700 * (10 ** (mel / 2595) - 1)
    return found
