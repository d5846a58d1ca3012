"""Embeddings by their picture: asked for, added where they are missing, kept for every night.

Computing an embedding takes a thousand times as long as reading it, and the same pictures come back
every night. Names are content hashes, so nothing in here ever goes stale.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml.errors import LearningError
from ml.thumbnails.backbones.local import HalfArray, LocalVectors

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Shared(Protocol):
    """Where machines keep vectors for each other, by recipe and picture."""

    def get(
        self, recipe: str, names: Sequence[str], width: int
    ) -> Iterable[tuple[Sequence[str], HalfArray]]:
        """Yield those that are there and whole, some at a time: names, and (N, ``width``)."""

    def put(self, recipe: str, names: Sequence[str], vectors: HalfArray) -> None:
        """Keep the vectors of pictures, (N, width); those that are there stay as they are."""


class EmbeddingCache:
    """Vectors of ``width`` half floats by the SHA-256 of their picture.

    What :meth:`missing` found stays in memory until it is read: it was looked at to know whether
    it is whole, and where it lies may be far away. A cache is one thread's; any number of them may
    be open on the same vectors.
    """

    def __init__(
        self, directory: Path, *, recipe: str, width: int, shared: Shared | None = None
    ) -> None:
        """Open or begin a cache.

        Args:
            directory: Where vectors are kept that nobody shares.
            recipe: Names everything that the numbers depend on: weights and preprocessing.
            width: Numbers a picture.
            shared: Where they are kept for everybody, instead of in the directory.
        """
        self._width = width
        self._recipe = recipe
        self._kept: Shared = LocalVectors(directory) if shared is None else shared
        self._held = _Held((), width)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return which pictures are not there yet, each once, in order."""
        self._held = self._fetched(names)
        return self._held.lacking(names)

    def read(self, names: Sequence[str]) -> HalfArray:
        """Return the vectors of pictures, (N, width).

        Raises:
            LearningError: One is not there.
        """
        held, self._held = self._held, _Held((), self._width)
        if held.lacking(names):
            held = self._fetched(names)
        absent = held.lacking(names)
        if absent:
            raise LearningError(
                f"{len(absent)} embeddings of {self._recipe} are not there, the first of"
                f" {absent[0]}; compute them first",
                reason="embeddingMissing",
            )
        return held.of(names)

    def add(self, names: Sequence[str], vectors: npt.NDArray[np.floating]) -> None:
        """Keep the vectors of pictures, (N, width); those known already stay as they are.

        Raises:
            LearningError: A name is no SHA-256, or a number is not finite in half precision.
        """
        wrong = [name for name in names if not _SHA256.fullmatch(name)]
        if wrong:
            raise LearningError(f"{wrong[0]!r} is no SHA-256", reason="nameInvalid")
        with np.errstate(over="ignore"):  # looked at below
            halves = np.asarray(vectors).reshape(len(names), self._width).astype(np.float16)
        if not np.isfinite(halves).all():
            raise LearningError(
                "an embedding is not finite in half precision; the weights are damaged",
                reason="embeddingNotFinite",
            )
        first: dict[str, int] = {}
        for row, name in enumerate(names):
            first.setdefault(name, row)
        once, fresh = list(first), halves[list(first.values())]
        self._kept.put(self._recipe, once, fresh)
        self._held.fill(once, fresh)

    def _fetched(self, names: Sequence[str]) -> "_Held":
        held = _Held(names, self._width)
        if names:
            for found, vectors in self._kept.get(self._recipe, held.names, self._width):
                held.fill(found, vectors)
        return held


class _Held:
    """The vectors of some pictures in memory, as far as they are known."""

    def __init__(self, names: Sequence[str], width: int) -> None:
        self._rows = {name: row for row, name in enumerate(dict.fromkeys(names))}
        self._vectors = np.empty((len(self._rows), width), dtype=np.float16)
        self._known = np.zeros(len(self._rows), dtype=np.bool_)

    @property
    def names(self) -> list[str]:
        return list(self._rows)

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Return which of the names are not known, each once, in order."""
        rows = self._rows
        return [n for n in dict.fromkeys(names) if n not in rows or not self._known[rows[n]]]

    def fill(self, names: Sequence[str], vectors: HalfArray) -> None:
        """Take what is wanted of some vectors; who was known before stays."""
        wanted = [
            (row, place)
            for place, name in enumerate(names)
            if (row := self._rows.get(name)) is not None and not self._known[row]
        ]
        if wanted:
            rows, places = (list(side) for side in zip(*wanted, strict=True))
            self._vectors[rows] = vectors[places]
            self._known[rows] = True

    def of(self, names: Sequence[str]) -> HalfArray:
        if len(names) == len(self._rows) and all(
            self._rows[name] == row for row, name in enumerate(names)
        ):
            return self._vectors
        return np.asarray(self._vectors[[self._rows[name] for name in names]])
