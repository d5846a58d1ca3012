"""Windows of features: pauses shortened, cut, normalised."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import IntArray
from ml.speech.frontend.features import BANDS, FRAMES_PER_SECOND, AnyFeatures, Features

PAUSE_BELOW = np.log(10 ** (40 / 10))
"""A frame so far below the clip's loud ones is a pause: 40 dB, as natural logarithm of power."""
LONGEST_PAUSE = 15
"""Frames of a pause that are kept."""
MIN_FRAMES = 32
"""The networks halve time up to four times; anything shorter is repeated up to here."""


@dataclass(frozen=True)
class WindowConfig:
    """How clips become windows; part of a model's preprocessing.

    Attributes:
        seconds: Length of a window.
        hop_seconds: From one window to the next when a clip is scored.
        normalise_variance: Scale each band to unit variance, besides taking its mean away.
        pitch: Whether the pitch columns stay; else they are set to 0.
        shorten_pauses: Whether pauses are cut to 0.15 s. Pauses tell word lists from sentences
            and the silence between words has the noise floor of the recording.
        bands: How many of the bands are used, from the lowest; those above are set to 0. 45 end at
            the telephone's 3.4 kHz, so that a recording's bandwidth tells nothing.
    """

    seconds: float = 3.0
    hop_seconds: float = 1.5
    normalise_variance: bool = False
    pitch: bool = False
    shorten_pauses: bool = False
    bands: int = BANDS

    @property
    def frames(self) -> int:
        """Length of a window in frames."""
        return round(self.seconds * FRAMES_PER_SECOND)


def kept_frames(clip: AnyFeatures, config: WindowConfig) -> IntArray:
    """Return which frames of a clip are used, in order."""
    frames = len(clip)
    if not config.shorten_pauses or frames < MIN_FRAMES:
        return np.arange(frames)
    # The loudest bands decide; their mean is that of a log spectrum and so of any gain.
    level = np.asarray(clip[:, :BANDS], dtype=np.float32).max(axis=1)
    pause = level < np.quantile(level, 0.95) - PAUSE_BELOW
    runs = np.arange(frames) - np.maximum.accumulate(np.where(pause, 0, np.arange(frames) + 1))
    kept = np.flatnonzero(~pause | (runs < LONGEST_PAUSE))
    return kept if len(kept) >= MIN_FRAMES else np.arange(frames)


def normalised(windows: Features, config: WindowConfig) -> Features:
    """Normalise windows, (N, T, COLUMNS), band by band and window by window."""
    result = windows.astype(np.float32)
    bands = result[..., :BANDS]
    bands -= bands.mean(axis=-2, keepdims=True)
    if config.normalise_variance:
        deviation = np.sqrt(np.einsum("...tb,...tb->...b", bands, bands) / bands.shape[-2])
        bands /= deviation[..., None, :] + np.float32(0.5)
    else:
        bands /= 4
    bands[..., config.bands :] = 0.0
    if not config.pitch:
        result[..., BANDS:] = 0.0
    return result


def cut_windows(clips: Sequence[AnyFeatures], config: WindowConfig) -> tuple[Features, IntArray]:
    """Cut clips into overlapping windows.

    A clip shorter than a window is repeated until it fills one.

    Returns:
        Windows (W, T, COLUMNS), normalised, and the clip of each, (W,).
    """
    parts, owners = [], []
    hop = round(config.hop_seconds * FRAMES_PER_SECOND)
    for number, clip in enumerate(clips):
        used = np.asarray(clip[kept_frames(clip, config)], dtype=np.float32)
        spare = len(used) - config.frames
        # The last window ends where the clip ends, so that nothing is left out.
        starts = np.unique(np.r_[np.arange(0, max(spare, 0) + 1, hop), max(spare, 0)])
        for start in starts:
            parts.append(filled(used[start : start + config.frames], config.frames))
            owners.append(number)
    return normalised(np.stack(parts), config), np.array(owners, dtype=np.int64)


def filled(part: Features, frames: int) -> Features:
    """Repeat a short stretch until it has so many frames."""
    if len(part) >= frames:
        return part[:frames]
    return np.resize(part, (frames, part.shape[1]))
