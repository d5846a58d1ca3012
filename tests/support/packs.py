"""Vectors in packs: drawn by number, and what the database and the store hold of them."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from ml.thumbnails.backbones.cache import EmbeddingCache
from services.context import Context
from services.pack_folder import PackFolder
from services.packs import Packs
from services.storage import object_name

WIDTH = 8
RECIPE = "drawn-v1"


def sha(number: int) -> str:
    """Name a picture, as ``tests.support.nights`` does."""
    return hashlib.sha256(f"v{number:010}".encode()).hexdigest()


def names_of(numbers: Iterable[int]) -> list[str]:
    return [sha(number) for number in numbers]


def vectors_of(numbers: Sequence[int], width: int = WIDTH) -> np.ndarray:
    """Return vectors that tell which picture they are of."""
    return np.array([[number // 100, number % 100, *range(width - 2)] for number in numbers])


def cache(
    context: Context, *, recipe: str = RECIPE, local: PackFolder | None = None
) -> EmbeddingCache:
    """Open a cache as a process of its own would."""
    shared = Packs(context, local)
    return EmbeddingCache(Path("/nowhere"), recipe=recipe, width=WIDTH, shared=shared)


def keep(context: Context, numbers: Sequence[int], *, recipe: str = RECIPE) -> None:
    """Keep the vectors of pictures in one pack."""
    cache(context, recipe=recipe).add(names_of(numbers), vectors_of(numbers))


def value(context: Context, statement: str, **values: Any) -> Any:
    with context.transaction() as session:
        return session.execute(text(statement), values).scalar_one()


def packs(context: Context) -> list[str]:
    """Return the objects of the packs, the oldest first."""
    with context.transaction() as session:
        found = session.execute(text("SELECT pack_sha256 FROM embedding_packs ORDER BY pack_id"))
        return list(found.scalars())


def path_of(context: Context, sha256: str) -> Path:
    """Return where an object lies in a store that is a folder."""
    return Path(str(context.settings.storage_url).removeprefix("file://")) / object_name(sha256)


def damage(path: Path, *, row: int) -> None:
    """Turn a bit of a vector in a pack, or in a copy of one."""
    content = bytearray(path.read_bytes())
    first = 8 + int.from_bytes(content[:8], "little")
    content[first + 2 * WIDTH * row] ^= 1
    path.write_bytes(content)
