"""From regions of speech to segments of a useful length, spread over a file. Frames throughout."""

from collections.abc import Iterator, Sequence

import numpy as np

from ml.audio.activity import Region
from ml.audio.arrays import ProbabilityArray


def joined(regions: Sequence[Region], *, gap: int, longest: int) -> list[Region]:
    """Join neighbours that are at most ``gap`` frames apart while they stay within ``longest``."""
    found: list[Region] = []
    for region in regions:
        last = found[-1] if found else None
        near = last is not None and region.start - last.end <= gap
        if last is not None and near and region.end - last.start <= longest:
            found[-1] = Region(last.start, region.end)
        else:
            found.append(region)
    return found


def split(
    region: Region, probabilities: ProbabilityArray, *, shortest: int, longest: int
) -> Iterator[Region]:
    """Split a region longer than ``longest`` where speech is least likely.

    No part is shorter than ``shortest``, which is at most half of ``longest``.
    """
    start = region.start
    while region.end - start > longest:
        first = start + shortest
        last = min(start + longest, region.end - shortest)
        cut = first + int(np.argmin(probabilities[first : last + 1]))
        yield Region(start, cut)
        start = cut
    yield Region(start, region.end)


def widened(regions: Sequence[Region], *, context: int, longest: int, end: int) -> list[Region]:
    """Give each up to ``context`` frames on both sides, without overlap and within ``longest``."""
    found: list[Region] = []
    for index, region in enumerate(regions):
        before = found[-1].end if found else 0
        after = end
        if index + 1 < len(regions):
            # The gap is shared: the next one finds half of it.
            after = (region.end + regions[index + 1].start + 1) // 2
        spare = max(0, longest - region.frames)
        left = min(context, spare // 2, region.start - before)
        right = min(context, spare - left, max(0, after - region.end))
        found.append(Region(region.start - left, region.end + right))
    return found


def spread(starts: Sequence[int], *, end: int) -> Iterator[int]:
    """Yield the indices of ``starts`` so that any first few of them lie all over the file.

    Positions follow van der Corput's sequence (0, 1/2, 1/4, 3/4 …) over ``end`` frames; each takes
    the nearest that is left.
    """
    left = dict(enumerate(starts))
    turn = 0
    while left:
        position = _van_der_corput(turn) * end
        turn += 1
        nearest = min(left, key=lambda index: (abs(left[index] - position), index))
        del left[nearest]
        yield nearest


def _van_der_corput(turn: int) -> float:
    value, half = 0.0, 0.5
    while turn:
        value += half * (turn & 1)
        turn >>= 1
        half /= 2
    return value
