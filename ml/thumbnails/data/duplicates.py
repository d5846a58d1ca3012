"""Which videos belong together, so that no fold holds a copy of what another one learns from."""

from collections.abc import Iterable, Sequence

import numpy as np

from ml.arrays import IntArray

NEAR_BITS = 3
"""Up to so many different bits of a 63-bit perceptual hash are one picture.

Measured on real thumbnails: of 1,000 encoded again (JPEG quality 30 to 80) or resized, 94 % moved
by no more. Telling the versions of one video apart may allow 10 bits; here every picture meets
every other. Strangers under 11 bits are one pair in 80,000 (1,500 invented pictures) to 290,000
(760 real ones), and about a third as many with every bit less: among 100,000 pictures a bound of 6
would tie hundreds of pairs of strangers, and so most channels, into one group; 3 ties a few.
"""
_BANDS = NEAR_BITS + 1
_BAND_BITS = 63 // _BANDS


def duplicate_groups(
    video_ids: Sequence[str], sha256: Sequence[str | None], hashes: Sequence[int | None]
) -> list[str]:
    """Group videos with the same or nearly the same picture; return each row's group.

    Args:
        video_ids: N ids, all different.
        sha256: Each picture's content hash; None: no picture, and so no copy.
        hashes: Each picture's 63-bit perceptual hash; None: not known.

    Returns:
        N names: the smallest video id of the group.
    """
    groups = _Groups(len(video_ids))
    groups.join_equal(sha256)
    first = {value: row for row, value in reversed(list(enumerate(hashes))) if value is not None}
    groups.join_equal(hashes)
    values = np.array(sorted(first), dtype=np.int64)
    for one, other in near_pairs(values):
        groups.join(first[int(values[one])], first[int(values[other])])
    return groups.names(video_ids)


def split_groups(channel_ids: Sequence[str], duplicates: Sequence[str]) -> list[str]:
    """Return the connected components of channels and duplicate groups: what a fold keeps whole.

    Returns:
        N names: the smallest channel id of the component. So a channel without copies elsewhere
        keeps its own id, and with it its fold, from night to night.
    """
    groups = _Groups(len(channel_ids))
    groups.join_equal(channel_ids)
    groups.join_equal(duplicates)
    return groups.names(channel_ids)


def near_pairs(hashes: IntArray) -> Iterable[tuple[int, int]]:
    """Yield each pair of positions whose hashes differ in at most ``NEAR_BITS`` bits.

    Of 4 bands of bits, 3 differing bits leave at least one band untouched (the pigeonhole
    principle), so only hashes with an equal band are compared.

    Args:
        hashes: Shape (N,), all different, none negative.
    """
    for band in range(_BANDS):
        keys = (hashes >> (band * _BAND_BITS)) & ((1 << _BAND_BITS) - 1)
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        for bucket in np.split(order, edges):
            for position in range(len(bucket) - 1):
                others = bucket[position + 1 :]
                bits = np.bitwise_count(hashes[bucket[position]] ^ hashes[others])
                for other in others[bits <= NEAR_BITS]:
                    yield int(bucket[position]), int(other)


class _Groups:
    """Disjoint sets of rows (union-find with path halving)."""

    def __init__(self, rows: int) -> None:
        self._parent = list(range(rows))

    def _root(self, row: int) -> int:
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self._root(one), self._root(other)))
        self._parent[high] = low

    def join_equal(self, values: Sequence[object]) -> None:
        """Join the rows that have the same value; None is equal to nothing."""
        first: dict[object, int] = {}
        for row, value in enumerate(values):
            if value is not None:
                self.join(first.setdefault(value, row), row)

    def names(self, names: Sequence[str]) -> list[str]:
        """Return for each row the smallest name in its set."""
        smallest: dict[int, str] = {}
        roots = [self._root(row) for row in range(len(names))]
        for root, name in zip(roots, names, strict=True):
            smallest[root] = min(smallest.get(root, name), name)
        return [smallest[root] for root in roots]
