"""From a waveform to what the networks read: log-mel bands and what the voice's pitch does.

The pitch columns are there for what is true of the languages rather than of the recordings:
Mandarin's tones move F0 within each syllable, English stresses some syllables and reduces others
(Ramus, Nespor & Mehler 1999; Laskowski, Heldner & Edlund 2008 for the variation spectrum). They
are computed from a flattened spectrum and say nothing of level, microphone or the speaker's own
pitch.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from ml.arrays import FloatArray
from ml.speech.augmentation.codecs import SAMPLE_RATE, Waveform

if TYPE_CHECKING:
    from torchaudio.transforms import MelSpectrogram

BANDS = 64
HOP = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP
WINDOW = 400
FFT = 512
LOWEST_BAND, HIGHEST_BAND = 60.0, 7600.0
LOG_FLOOR = 1e-8
"""Added to the mel power, so that digital silence has a finite logarithm."""

PITCH_FRAME = 640
PITCH_FFT = 1024
PITCH_BINS = 48
LOWEST_PITCH, HIGHEST_PITCH = 65.0, 430.0
VARIATION_REACH = 5
"""The variation spectrum looks this many bins (0.68 semitones each) up and down."""
VARIATION_LAG = 4
"""Between frames this many hops apart."""
PITCH_COLUMNS = 3 + 2 * VARIATION_REACH + 1
COLUMNS = BANDS + PITCH_COLUMNS

Features = npt.NDArray[np.float32]
"""Shape (frames, COLUMNS), 100 frames a second: log-mel bands, then voicing, relative pitch in
octaves, its slope, and the variation spectrum."""


AnyFeatures = npt.NDArray[np.float32] | npt.NDArray[np.float16]
"""The same in either precision; the cache keeps the shorter one."""


@dataclass(frozen=True)
class FrontEnd:
    """What was done to the sound before a model saw it; written into its artefact."""

    sample_rate: int = SAMPLE_RATE
    bands: int = BANDS
    hop: int = HOP
    window: int = WINDOW
    fft: int = FFT
    lowest_band: float = LOWEST_BAND
    highest_band: float = HIGHEST_BAND
    pitch_columns: int = PITCH_COLUMNS
    version: int = 1


def features(waveform: Waveform) -> Features:
    """Compute a clip's features.

    Args:
        waveform: Mono, 16 kHz; anything shorter than one window counts as that long.

    Returns:
        ``1 + samples // 160`` frames.
    """
    samples = np.ascontiguousarray(waveform, dtype=np.float32)
    if len(samples) < PITCH_FRAME:
        samples = np.pad(samples, (0, PITCH_FRAME - len(samples)))
    with torch.inference_mode():
        power = _mel()(torch.from_numpy(samples)).numpy().T
    bands = np.log(power + LOG_FLOOR)
    return np.concatenate([bands, pitch_columns(samples, len(bands))], axis=1, dtype=np.float32)


def pitch_columns(samples: Waveform, frames: int) -> Features:
    """Describe the voice's pitch, shape (frames, PITCH_COLUMNS)."""
    salience = _salience(samples, frames)
    path = _track(salience)
    strength = salience[np.arange(frames), path]
    voiced = strength > VOICED
    octaves = path * _octaves_a_bin()
    middle = np.median(octaves[voiced]) if voiced.any() else 0.0
    relative = np.where(voiced, octaves - middle, 0.0)
    slope = np.zeros(frames)
    lag = VARIATION_LAG
    both = voiced[lag:] & voiced[:-lag]
    slope[lag:] = np.where(both, octaves[lag:] - octaves[:-lag], 0.0)
    return np.column_stack([strength, relative, slope * 4, _variation(salience)]).astype(np.float32)


VOICED = 0.25
"""Normalised autocorrelation above which a frame counts as voiced."""


def _salience(samples: Waveform, frames: int) -> FloatArray:
    """Autocorrelation of the flattened spectrum at log-spaced lags, (frames, PITCH_BINS) ≥ 0.

    A power of the spectrum below 1 flattens formants and channel alike (Tolonen & Karjalainen
    2000).
    """
    padded = np.pad(samples, (PITCH_FRAME // 2, PITCH_FRAME // 2 + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, PITCH_FRAME)[::HOP][:frames]
    weights, lags = _pitch_weights(), _pitch_cosines()
    with torch.inference_mode():
        tapered = torch.from_numpy(windows * np.hanning(PITCH_FRAME).astype(np.float32))
        spectrum = torch.fft.rfft(tapered, PITCH_FFT)[:, : len(weights)].abs().numpy()
    flattened = spectrum ** np.float32(0.7) * weights
    # The correlation is wanted at a few dozen lags only: cheaper as a product than as a transform.
    correlation = flattened @ lags
    normalised = correlation[:, 1:] / np.maximum(correlation[:, :1], 1e-6)
    result: FloatArray = np.maximum(normalised, 0.0)
    return result


def _track(salience: FloatArray) -> npt.NDArray[np.int64]:
    """Best path of pitch bins over the frames; each step costs by its size."""
    frames, bins = salience.shape
    reach = 3
    penalty = 0.02 * np.abs(np.arange(-reach, reach + 1))
    best = salience[0].copy()
    came = np.zeros((frames, bins), dtype=np.int64)
    columns = np.arange(bins)
    padded = np.full(bins + 2 * reach, -np.inf)
    shifted = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    for frame in range(1, frames):
        padded[reach:-reach] = best
        options = shifted - penalty
        step = options.argmax(axis=1)
        came[frame] = columns + step - reach
        best = options[columns, step] * np.float64(0.98) + salience[frame]
    path = np.empty(frames, dtype=np.int64)
    path[-1] = best.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = came[frame, path[frame]]
    return path


def _variation(salience: FloatArray) -> FloatArray:
    """How well the salience of two frames agrees when one is shifted, (frames, 11)."""
    frames, bins = salience.shape
    sharp = salience - salience.mean(axis=1, keepdims=True)
    norm = np.sqrt((sharp**2).sum(axis=1)) + 1e-3
    earlier = np.concatenate([sharp[:1].repeat(VARIATION_LAG, axis=0), sharp])[:frames]
    earlier_norm = np.concatenate([norm[:1].repeat(VARIATION_LAG), norm])[:frames]
    reach = VARIATION_REACH
    result = np.empty((frames, 2 * reach + 1))
    inner = sharp[:, reach : bins - reach]
    for column in range(2 * reach + 1):
        result[:, column] = (inner * earlier[:, column : column + bins - 2 * reach]).sum(axis=1)
    result /= (norm * earlier_norm)[:, None]
    return result


@lru_cache(maxsize=1)
def _mel() -> "MelSpectrogram":
    from torchaudio.transforms import MelSpectrogram  # noqa: PLC0415 - of the extra `speech`

    return MelSpectrogram(
        SAMPLE_RATE,
        n_fft=FFT,
        win_length=WINDOW,
        hop_length=HOP,
        f_min=LOWEST_BAND,
        f_max=HIGHEST_BAND,
        n_mels=BANDS,
        power=2.0,
    )


def _octaves_a_bin() -> float:
    return float(np.log2(HIGHEST_PITCH / LOWEST_PITCH) / (PITCH_BINS - 1))


@lru_cache(maxsize=1)
def _pitch_cosines() -> npt.NDArray[np.float32]:
    """Inverse transform at lag 0 and at the lag of each pitch, (frequencies, 1 + PITCH_BINS).

    Lags between two samples are interpolated.
    """
    pitches = LOWEST_PITCH * 2 ** (_octaves_a_bin() * np.arange(PITCH_BINS))
    lags = SAMPLE_RATE / pitches
    lower = np.floor(lags)
    part = lags - lower
    turns = np.arange(len(_pitch_weights()))[:, None] / PITCH_FFT
    wave = np.cos(2 * np.pi * turns * lower) * (1 - part)
    wave += np.cos(2 * np.pi * turns * (lower + 1)) * part
    both_sides = np.where(turns == 0, 1, 2) / PITCH_FFT
    columns = np.concatenate([np.ones_like(turns), wave], axis=1) * both_sides
    return columns.astype(np.float32)


@lru_cache(maxsize=1)
def _pitch_weights() -> npt.NDArray[np.float32]:
    """Harmonics between 80 and 1,500 Hz; a telephone passes most of them."""
    frequency = np.fft.rfftfreq(PITCH_FFT, 1 / SAMPLE_RATE)
    rise = np.clip((frequency - 60) / 60, 0, 1)
    fall = np.clip((1800 - frequency) / 600, 0, 1)
    weights = (rise * fall).astype(np.float32)
    return weights[frequency < 1800]  # noqa: PLR2004 - where they end
