"""A dataset of at most so many rows, videos or segments: whole channels, by a hash of their id.

What training needs of memory goes with its rows, so there are never more than a setting says.
Channels are taken in the order of the hash until there are enough rows: which they are depends
on nothing but ids and counts, so tomorrow's sample is of the same channels as today's, and what a
fold keeps whole stays whole.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

SAMPLED_OUT: Final = "sampledOut"
"""The reason of rows whose channels are not of the sample: there are more than are learned from
(``TUBEGRADER_TRAINING_VIDEOS``, ``TUBEGRADER_TRAINING_SEGMENTS``)."""
SLACK = 1.25
"""So many times what is kept in the end may be held before what is not is put out."""


class Sample:
    """Keeps rows of whole channels while rows of all channels come in any order.

    A channel is in if those before it, in the order of their hashes, have fewer rows than the
    most that there are to be. The last one is kept whole, so there may be a few more. Rows only
    come and never go: a channel that is out is out for good, and its rows need not be held.
    """

    def __init__(self, most: int, schema: pa.Schema, *, channel: str = "channel_id") -> None:
        """Begin an empty sample.

        Args:
            most: Rows from which on no further channel is taken.
            schema: Of the rows.
            channel: The column that names a row's channel.
        """
        self._most = most
        self._schema = schema
        self._channel = channel
        self._ranks: dict[str, bytes] = {}
        self._counts: Counter[str] = Counter()
        self._batches: list[pa.RecordBatch] = []
        self._end: bytes | None = None
        self.seen = 0
        """How many rows there were in all."""

    def has_room(self, channel_id: str) -> bool:
        """Tell whether a channel's rows may still be of the sample."""
        return self._end is None or self._rank(channel_id) < self._end

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows, of whichever channels."""
        self.seen += len(rows)
        kept = [row for row in rows if self.has_room(row[self._channel])]
        self._counts.update(row[self._channel] for row in kept)
        self._batches.append(pa.RecordBatch.from_pylist(kept, schema=self._schema))
        if self._counts.total() > SLACK * self._most:
            self._put_out()

    def rows(self) -> pa.Table:
        """Return the rows that are kept, in the order in which they came."""
        self._put_out()
        return pa.Table.from_batches(self._batches, schema=self._schema)

    def _put_out(self) -> None:
        """Let go of the channels that no longer are in."""
        if self._counts.total() <= self._most:
            return
        before, taken = 0, []
        for channel in sorted(self._counts, key=self._rank):
            if before >= self._most:
                self._end = self._rank(channel)
                break
            taken.append(channel)
            before += self._counts[channel]
        self._counts = Counter({channel: self._counts[channel] for channel in taken})
        self._ranks = {channel: self._ranks[channel] for channel in taken}
        wanted = pa.array(taken, pa.string())
        for number, batch in enumerate(self._batches):
            inside = pc.is_in(batch[self._channel], value_set=wanted)
            self._batches[number] = batch.filter(inside)

    def _rank(self, channel_id: str) -> bytes:
        rank = self._ranks.get(channel_id)
        if rank is None:
            rank = hashlib.sha256(channel_id.encode()).digest()
            if self._end is None or rank < self._end:
                self._ranks[channel_id] = rank
        return rank
