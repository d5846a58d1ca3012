"""Batches for training: drawn in balance, mixed, masked."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.speech.data.manifest import LANGUAGES, Manifest
from ml.speech.frontend.cache import CachedFeatures
from ml.speech.frontend.features import BANDS, HIGHEST_BAND, LOWEST_BAND, Features
from ml.speech.frontend.windows import WindowConfig, filled, kept_frames, normalised

WARP, WARPS = 0.12, 25
MOST_PIECES = 5


@dataclass(frozen=True)
class SamplingConfig:
    """How batches are drawn.

    Attributes:
        variants: Augmented variants of each clip that training sees besides the clean one.
        balanced: Draw language, then source, then speaker, then clip, each evenly (sources by the
            square root of their speakers); else draw clips evenly.
        bilingual_weight: A source in both languages is drawn this many times as often: there
            alone language does not go with speaker and channel.
        mixed: Share of windows with somebody else talking in the background.
        spliced: Share of windows put together from two to five clips of one language, so that what
            is common to the pieces is the language, not a speaker, a channel or the way in which
            a corpus was read.
        warped: Share of windows whose frequency axis is stretched or squeezed by up to 12 %, as a
            longer or shorter vocal tract would (Jaitly & Hinton 2013).
        time_masks: Stretches of time set to the mean (Park et al. 2019).
        band_masks: Stretches of bands set to the mean.
    """

    variants: int = 0
    balanced: bool = False
    bilingual_weight: float = 1.0
    mixed: float = 0.0
    spliced: float = 0.0
    warped: float = 0.0
    time_masks: int = 2
    band_masks: int = 2


@dataclass(frozen=True)
class Batch:
    """Normalised windows (B, T, COLUMNS), their labels and the number of their source, (B,)."""

    windows: Features
    labels: IntArray
    sources: IntArray


class Sampler:
    """Draws batches from the features of a manifest's clips.

    Args:
        manifest: The clips.
        clips: Their features by variant: V sequences, each as long as the manifest.
        windows: How clips become windows.
        config: How to draw.
        generator: Decides everything.
    """

    def __init__(
        self,
        manifest: Manifest,
        clips: Sequence[Sequence[CachedFeatures]],
        windows: WindowConfig,
        config: SamplingConfig,
        generator: np.random.Generator,
    ) -> None:
        self._clips = clips
        self._windows = windows
        self._config = config
        self._generator = generator
        self._labels = manifest.labels
        names = sorted(set(manifest.sources))
        self._sources = np.array([names.index(name) for name in manifest.sources])
        self._chance = _chances(manifest, config)
        self._of_language = [
            _restricted(self._chance, self._labels == label) for label in range(len(LANGUAGES))
        ]
        self._kept = [[kept_frames(clip, windows) for clip in variant] for variant in clips]

    def draw(self, size: int) -> Batch:
        """Draw a batch."""
        rows = self._generator.choice(len(self._labels), size=size, p=self._chance)
        if self._config.balanced:
            # Exactly half and half: batch statistics do not waver with the languages.
            half = size // 2
            rows = np.concatenate(
                [
                    self._generator.choice(len(chance), size=count, p=chance)
                    for chance, count in zip(self._of_language, (half, size - half), strict=True)
                ]
            )
        windows = normalised(np.stack([self._window(row) for row in rows]), self._windows)
        self._mask(windows)
        return Batch(windows, self._labels[rows], self._sources[rows])

    def _window(self, row: int) -> Features:
        frames = self._windows.frames
        window = self._stretch(row, frames)
        if self._generator.random() < self._config.spliced:
            window = self._spliced(window, self._of_language[self._labels[row]])
        elif self._generator.random() < self._config.mixed:
            chance = self._of_language[self._generator.integers(len(LANGUAGES))]
            behind = self._stretch(int(self._generator.choice(len(chance), p=chance)), frames)
            gap = self._generator.uniform(8, 25) * np.log(10) / 10
            near, far = window[:, :BANDS], behind[:, :BANDS]
            gain = near.max() - far.max() - np.float32(gap)
            window[:, :BANDS] = np.logaddexp(near, far + gain)
        if self._generator.random() < self._config.warped:
            window[:, :BANDS] = _warped(window[:, :BANDS], int(self._generator.integers(WARPS)))
        return window

    def _spliced(self, window: Features, chance: FloatArray) -> Features:
        frames = len(window)
        pieces = int(self._generator.integers(2, MOST_PIECES + 1))
        others = self._generator.choice(len(chance), size=pieces - 1, p=chance)
        # Each about its own mean, or the seams would show the channels.
        window = _centred(window)
        edges = np.linspace(0, frames, pieces + 1).astype(int)
        for other, start, end in zip(others.tolist(), edges[1:-1], edges[2:], strict=True):
            window[start:end] = _centred(self._stretch(other, frames))[: end - start]
        return window

    def _stretch(self, row: int, frames: int) -> Features:
        variant = int(self._generator.integers(len(self._clips)))
        kept = self._kept[variant][row]
        start = int(self._generator.integers(max(1, len(kept) - frames + 1)))
        part = self._clips[variant][row][kept[start : start + frames]]
        return filled(np.asarray(part, dtype=np.float32), frames)

    def _mask(self, windows: Features) -> None:
        generator, frames = self._generator, windows.shape[1]
        for window in windows:
            for _ in range(self._config.time_masks):
                width = int(generator.integers(0, 30))
                start = int(generator.integers(0, frames - width))
                window[start : start + width] = 0.0
            for _ in range(self._config.band_masks):
                width = int(generator.integers(0, 10))
                start = int(generator.integers(0, BANDS - width))
                window[:, start : start + width] = 0.0


def _chances(manifest: Manifest, config: SamplingConfig) -> FloatArray:
    """How likely each clip is drawn, summing to 1."""
    if not config.balanced:
        return np.full(len(manifest), 1 / len(manifest))
    cells: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    languages: dict[str, set[str]] = defaultdict(set)
    for row, clip in enumerate(manifest):
        cells[clip.source, clip.language][clip.speaker].append(row)
        languages[clip.source].add(clip.language)
    chances = np.zeros(len(manifest))
    for (source, _), speakers in cells.items():
        weight = np.sqrt(len(speakers))
        weight *= config.bilingual_weight if len(languages[source]) > 1 else 1.0
        for rows in speakers.values():
            chances[rows] = weight / len(speakers) / len(rows)
    for label in range(len(LANGUAGES)):
        of_language = manifest.labels == label
        chances[of_language] /= chances[of_language].sum()
    chances /= chances.sum()
    return chances


def _restricted(chances: FloatArray, rows: np.typing.NDArray[np.bool_]) -> FloatArray:
    kept = np.where(rows, chances, 0.0)
    result: FloatArray = kept / kept.sum()
    return result


def _warped(bands: Features, number: int) -> Features:
    """Read each band where its frequency times a factor lies."""
    result: Features = bands @ _warps()[number]
    return result


@lru_cache(maxsize=1)
def _warps() -> npt.NDArray[np.float32]:
    """One matrix of interpolation for each factor, (WARPS, BANDS, BANDS).

    Beyond the top band the top band is read.
    """
    mel = np.linspace(_mel(LOWEST_BAND), _mel(HIGHEST_BAND), BANDS + 2)[1:-1]
    columns = np.arange(BANDS)
    matrices = np.zeros((WARPS, BANDS, BANDS), np.float32)
    for matrix, factor in zip(matrices, np.linspace(1 - WARP, 1 + WARP, WARPS), strict=True):
        moved = _mel((10 ** (mel / 2595) - 1) * 700 * factor)
        place = np.clip((moved - mel[0]) / (mel[1] - mel[0]), 0, BANDS - 1.001)
        lower = place.astype(np.int64)
        matrix[lower, columns] = 1 - (place - lower)
        matrix[lower + 1, columns] = place - lower
    return matrices


def _mel(frequency: npt.ArrayLike) -> FloatArray:
    return 2595 * np.log10(1 + np.asarray(frequency, dtype=np.float64) / 700)


def _centred(part: Features) -> Features:
    bands = part[:, :BANDS]
    return np.concatenate([bands - bands.mean(axis=0), part[:, BANDS:]], axis=1)
