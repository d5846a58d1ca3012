"""Measurements kept to seven digits, for what sets pictures beside each other again and again.

Models take them in half precision, as they take embeddings; a reader of a grade sees the numbers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ml.arrays import FloatArray
from ml.images.decoding import decode_thumbnails
from ml.images.pictures import HEIGHT, WIDTH
from ml.thumbnails.backbones.cache import EmbeddingCache
from ml.thumbnails.features.catalogue import FEATURES, MEASUREMENT_VERSION, measure_all
from ml.training.callbacks import Progress

_AT_ONCE = 32


class Measurements:
    """Measurements of pictures by their SHA-256, each made once.

    A number is kept as a half and what the half leaves of it: within 2 to the -22 of itself.
    """

    def __init__(self, directory: Path) -> None:
        """Open or begin the cache, in a folder that is created if needed."""
        self._cache = EmbeddingCache(
            directory, recipe=f"exact-v{MEASUREMENT_VERSION}", width=2 * len(FEATURES)
        )

    def of(
        self, names: Sequence[str], read: Callable[[str], bytes], progress: Progress
    ) -> FloatArray:
        """Return the measurements of thumbnails, (N, F), making those not kept yet.

        Args:
            names: The SHA-256 of each row's thumbnail.
            read: Returns the encoded bytes of a name; called from other threads.
            progress: Told how many are done of those that were missing.

        Raises:
            LearningError: A thumbnail is unreadable, or what measures it is not installed.
        """
        missing = self._cache.missing(names)
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            frames = decode_thumbnails(some, read, size=(WIDTH, HEIGHT))
            self._cache.add(some, _halves(measure_all(list(frames))))
            progress(start + len(some), len(missing), "measuring comparable thumbnails")
        return _whole(self._cache.read(names).astype(np.float64))


def as_kept(values: FloatArray) -> FloatArray:
    """Return measurements (F,) as they come back from being kept, so that equal ones are equal."""
    (row,) = _whole(_halves(values[None]))
    return np.asarray(row)


def _halves(values: FloatArray) -> FloatArray:
    halves = values.astype(np.float16).astype(np.float64)
    left = (values - halves).astype(np.float16).astype(np.float64)
    return np.hstack([halves, left])


def _whole(kept: FloatArray) -> FloatArray:
    halves, left = np.hsplit(kept, 2)
    return np.asarray(halves + left)
