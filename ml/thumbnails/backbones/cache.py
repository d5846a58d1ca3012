"""Embeddings on disk: two append-only files a recipe, one of names and one of half floats.

Computing an embedding takes a thousand times as long as reading it, and the same pictures come back
every night. Names are content hashes, so nothing in here ever goes stale.
"""

import fcntl
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ml.errors import LearningError

HalfArray: TypeAlias = npt.NDArray[np.float16]

_NAME_BYTES = 65
"""A SHA-256 in hexadecimal and a line feed."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


_PAGE = 1024
"""Vectors that are asked for elsewhere at once."""


class Shared(Protocol):
    """Where machines keep vectors for each other, by recipe and picture."""

    def get(self, recipe: str, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return those that are there, whole."""

    def put(self, recipe: str, vectors: Mapping[str, bytes]) -> None:
        """Keep some."""


class EmbeddingCache:
    """Vectors of ``width`` half floats by the SHA-256 of their picture.

    Safe among processes: whoever adds holds a lock, and a name is written after its vector, so a
    killed process leaves at most a vector without a name, which the next one overwrites.
    """

    def __init__(
        self, directory: Path, *, recipe: str, width: int, shared: Shared | None = None
    ) -> None:
        """Open or begin a cache.

        Args:
            directory: Where caches are; each recipe has its own folder in it.
            recipe: Names everything that the numbers depend on: weights and preprocessing.
            width: Numbers a picture.
            shared: What is not here is looked for there before it is missing, and what is made here
                goes there too.
        """
        folder = directory / recipe
        folder.mkdir(parents=True, exist_ok=True)
        self._names = folder / "names.txt"
        self._vectors = folder / f"vectors.{width}.f16"
        self._width = width
        self._recipe = recipe
        self._shared = shared
        self._names.touch()
        self._vectors.touch()

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return which pictures are not there yet, each once, in order."""
        known = self._positions()
        missing = [name for name in dict.fromkeys(names) if name not in known]
        if self._shared is None or not missing:
            return missing
        found = self._brought(self._shared, missing)
        return [name for name in missing if name not in found]

    def _brought(self, shared: Shared, names: Sequence[str]) -> set[str]:
        """Keep what others have made of pictures; return of which."""
        found: set[str] = set()
        for start in range(0, len(names), _PAGE):
            vectors = {
                name: np.frombuffer(vector, dtype=np.float16)
                for name, vector in shared.get(self._recipe, names[start : start + _PAGE]).items()
                if len(vector) == self._width * np.dtype(np.float16).itemsize
            }
            if vectors:
                self._keep(list(vectors), np.stack(list(vectors.values())))
                found |= vectors.keys()
        return found

    def read(self, names: Sequence[str]) -> HalfArray:
        """Return the vectors of pictures, (N, width).

        Raises:
            LearningError: One is not there.
        """
        known = self._positions()
        absent = [name for name in names if name not in known]
        if absent:
            raise LearningError(
                f"{len(absent)} embeddings are not in {self._vectors.parent}, the first of"
                f" {absent[0]}; compute them first",
                reason="embeddingMissing",
            )
        if not names:
            return np.zeros((0, self._width), dtype=np.float16)
        stored = np.memmap(self._vectors, dtype=np.float16, mode="r")
        rows = stored[: len(stored) // self._width * self._width].reshape(-1, self._width)
        return np.asarray(rows[[known[name] for name in names]])

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
        self._keep(names, halves)
        if self._shared is not None:
            self._shared.put(
                self._recipe,
                {name: vector.tobytes() for name, vector in zip(names, halves, strict=True)},
            )

    def _keep(self, names: Sequence[str], halves: HalfArray) -> None:
        with self._names.open("r+b") as index, self._vectors.open("r+b") as store:
            fcntl.flock(index, fcntl.LOCK_EX)
            known = self._positions()
            row_bytes = self._width * halves.itemsize
            store.seek(len(known) * row_bytes)
            index.seek(len(known) * _NAME_BYTES)
            fresh = {name: row for row, name in enumerate(names) if name not in known}
            store.write(halves[list(fresh.values())].tobytes())
            store.truncate()
            store.flush()
            os.fsync(store.fileno())
            index.write("".join(f"{name}\n" for name in fresh).encode())
            index.truncate()

    def _positions(self) -> dict[str, int]:
        """Return each known picture's row; a name cut short at the end does not count."""
        data = self._names.read_bytes()
        whole = data[: len(data) // _NAME_BYTES * _NAME_BYTES].decode()
        return {name: row for row, name in enumerate(whole.split("\n")[:-1])}
