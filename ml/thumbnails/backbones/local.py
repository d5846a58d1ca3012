"""Vectors on this disk: two append-only files a recipe, one of names and one of half floats."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

HalfArray: TypeAlias = npt.NDArray[np.float16]

_NAME_BYTES = 65
"""A SHA-256 in hexadecimal and a line feed."""
_PAGE = 1_024


class LocalVectors:
    """Vectors by the SHA-256 of their picture, in a folder; for what no other machine needs.

    Safe among processes: whoever adds holds a lock, and a name is written after its vector, so a
    killed process leaves at most a vector without a name, which the next one overwrites.
    """

    def __init__(self, directory: Path) -> None:
        """Open a folder of vectors, in which each recipe has its own; made as the first come."""
        self._directory = directory
        self._known: dict[Path, dict[str, int]] = {}

    def get(
        self, recipe: str, names: Sequence[str], width: int
    ) -> Iterator[tuple[Sequence[str], HalfArray]]:
        """Yield those that are there, some at a time: names, and (N, ``width``)."""
        known = self._positions(self._directory / recipe)
        found = [name for name in dict.fromkeys(names) if name in known]
        if not found:
            return
        path = _file(self._directory / recipe, width)
        # A writer that was killed may have left half a row at the end.
        shape = (path.stat().st_size // (2 * width), width)
        rows = np.memmap(path, dtype=np.float16, mode="r", shape=shape)
        for start in range(0, len(found), _PAGE):
            some = found[start : start + _PAGE]
            yield some, np.asarray(rows[[known[name] for name in some]])

    def put(self, recipe: str, names: Sequence[str], vectors: HalfArray) -> None:
        """Keep the vectors of pictures, (N, width); those known already stay as they are."""
        folder, width = self._directory / recipe, vectors.shape[1]
        folder.mkdir(parents=True, exist_ok=True)
        for path in (_names(folder), _file(folder, width)):
            path.touch()
        with _names(folder).open("r+b") as index, _file(folder, width).open("r+b") as store:
            fcntl.flock(index, fcntl.LOCK_EX)
            known = self._positions(folder)
            store.seek(len(known) * width * vectors.itemsize)
            index.seek(len(known) * _NAME_BYTES)
            fresh: dict[str, int] = {}
            for row, name in enumerate(names):
                if name not in known:
                    fresh.setdefault(name, row)
            store.write(vectors[list(fresh.values())].tobytes())
            store.truncate()
            store.flush()
            os.fsync(store.fileno())
            index.write("".join(f"{name}\n" for name in fresh).encode())
            index.truncate()

    def recipes(self) -> list[tuple[str, int]]:
        """Return the recipes of which there are vectors, with their widths."""
        return [
            (path.parent.name, int(path.name.split(".")[1]))
            for path in sorted(self._directory.glob("*/vectors.*.f16"))
            if _names(path.parent).exists()
        ]

    def names(self, recipe: str) -> list[str]:
        """Return of which pictures there are vectors, in the order in which they came."""
        return list(self._positions(self._directory / recipe))

    def _positions(self, folder: Path) -> dict[str, int]:
        """Return each known picture's row; a name cut short at the end does not count.

        Names are appended only, so no more is read than came since the last time.
        """
        known = self._known.setdefault(folder, {})
        path = _names(folder)
        if not path.exists() or path.stat().st_size < len(known) * _NAME_BYTES:
            known.clear()  # somebody emptied the folder
        if path.exists():
            with path.open("rb") as file:
                file.seek(len(known) * _NAME_BYTES)
                data = file.read()
            whole = data[: len(data) // _NAME_BYTES * _NAME_BYTES].decode()
            first = len(known)
            known.update({name: first + row for row, name in enumerate(whole.split("\n")[:-1])})
        return known


def _names(folder: Path) -> Path:
    return folder / "names.txt"


def _file(folder: Path, width: int) -> Path:
    return folder / f"vectors.{width}.f16"
