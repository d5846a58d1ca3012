"""Learning curves: the same sources left out, with less to learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ml.speech.data.manifest import LANGUAGES, MIN_CLIPS, Manifest
from ml.speech.evaluation.protocol import Split

SHARES = (0.125, 0.25, 0.5)
"""Of the clips of each source."""
COUNTS = (2, 4)
"""Sources of each language."""


@dataclass(frozen=True)
class Point:
    """One amount of data.

    Attributes:
        kind: ``clips``, a share of each source's, or ``sources``, so many of each language.
        amount: The share, or how many.
        splits: What is trained for it.
    """

    kind: str
    amount: float
    splits: tuple[Split, ...]

    @property
    def name(self) -> str:
        """Such as ``25 % of the clips`` or ``4 sources a language``."""
        if self.kind == "clips":
            return f"{100 * self.amount:g} % of the clips"
        return f"{self.amount:g} sources a language"


def curve_points(splits: Sequence[Split]) -> list[Point]:
    """Return what has to be trained for learning curves; the splits themselves are their end.

    Each split draws clips and sources of its own, so that a point is not the luck of one draw. An
    amount is left out where some split's training part is no larger, or where that would leave too
    few clips to learn from.
    """
    points = [
        Point("clips", share, _less(splits, f"{100 * share:g} % of the clips", share=share))
        for share in SHARES
    ]
    points += [
        Point("sources", count, _less(splits, f"{count} sources a language", count=count))
        for count in COUNTS
    ]
    return [
        point
        for point in points
        if all(
            MIN_CLIPS <= len(less.training) < len(whole.training)
            for less, whole in zip(point.splits, splits, strict=True)
        )
    ]


def _less(
    splits: Sequence[Split], name: str, *, share: float | None = None, count: int | None = None
) -> tuple[Split, ...]:
    found = []
    for seed, split in enumerate(splits):
        less = split.training
        if share is not None:
            less = thinned(less, share=share, seed=seed)
        if count is not None:
            less = fewer_sources(less, count=count, seed=seed)
        found.append(replace(split, name=f"{split.name}, {name}", training=less, diagnosed=False))
    return tuple(found)


def thinned(manifest: Manifest, *, share: float, seed: int = 0) -> Manifest:
    """Keep a share of the clips of each source and language, at least two."""
    generator = np.random.default_rng(seed)
    kept: list[int] = []
    cells: dict[tuple[str, str], list[int]] = {}
    for row, clip in enumerate(manifest):
        cells.setdefault((clip.source, clip.language), []).append(row)
    for _, rows in sorted(cells.items()):
        count = max(2, round(share * len(rows)))
        kept += generator.permutation(rows)[:count].tolist()
    return manifest.take(sorted(kept))


def fewer_sources(manifest: Manifest, *, count: int, seed: int = 0) -> Manifest:
    """Keep ``count`` sources of each language drawn at random."""
    generator = np.random.default_rng(seed)
    kept = set()
    for language in LANGUAGES:
        names = sorted({clip.source for clip in manifest if clip.language == language})
        kept |= {(language, name) for name in generator.permutation(names)[:count].tolist()}
    return manifest.where(lambda clip: (clip.language, clip.source) in kept)
