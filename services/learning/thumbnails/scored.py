"""What models said of a dataset's rows, read from the database row by row of the dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from db.queries.learning import scores
from ml.arrays import BoolArray, FloatArray, IntArray
from ml.thumbnails.data.rows import Predictions
from services.context import Context

PAGE = 5_000
"""Rows asked for at a time, each page in a moment of its own."""


@dataclass(frozen=True)
class Scored:
    """What M models said of N rows, NaN where a score is gone or was never there.

    Attributes:
        probability_over: Shape (M, N).
        log10_views_per_day: Shape (M, N).
    """

    probability_over: FloatArray
    log10_views_per_day: FloatArray

    @property
    def whole(self) -> BoolArray:
        """Which rows have a score of every model, shape (N,)."""
        return np.asarray(np.isfinite(self.probability_over).all(axis=0))

    def of(self, model: int) -> Predictions:
        """Return what a model said, by its place."""
        return Predictions(self.probability_over[model], self.log10_views_per_day[model])


def read(context: Context, rows: pa.Table, model_version_ids: Sequence[int]) -> Scored:
    """Read the scores of rows, a page at a time.

    Args:
        context: The database.
        rows: With ``video_id`` and ``thumbnail_sha256``.
        model_version_ids: Whose scores, in the order of the result.
    """
    shape = len(model_version_ids), rows.num_rows
    found = Scored(np.full(shape, np.nan), np.full(shape, np.nan))
    ids = np.array(model_version_ids, dtype=np.int64)
    order = np.argsort(ids)
    for start, names, pictures in _pages(rows):
        with context.transaction() as session:
            page = scores.of_rows(session, names, pictures, model_version_ids=model_version_ids)
        if not page:
            continue
        place, model, probability, log_views = np.array(page, dtype=np.float64).T
        row = start + place.astype(np.int64)
        which = order[np.searchsorted(ids, model.astype(np.int64), sorter=order)]
        found.probability_over[which, row] = probability
        found.log10_views_per_day[which, row] = log_views
    return found


def lacking(context: Context, rows: pa.Table, model_version_ids: Sequence[int]) -> IntArray:
    """Return the rows, ascending, whose video is there and lacks a score of any of the models.

    Args:
        context: The database.
        rows: With ``video_id`` and ``thumbnail_sha256``.
        model_version_ids: Whose scores.
    """
    parts: list[IntArray] = [np.zeros(0, dtype=np.int64)]
    for start, names, pictures in _pages(rows):
        with context.transaction() as session:
            page = scores.lacking(session, names, pictures, model_version_ids=model_version_ids)
        parts.append(start + np.array(page, dtype=np.int64))
    return np.concatenate(parts)


def _pages(rows: pa.Table) -> Iterator[tuple[int, list[str], list[str | None]]]:
    """Yield where each page begins, its videos and their pictures."""
    keys = rows.select(["video_id", "thumbnail_sha256"])
    for start in range(0, keys.num_rows, PAGE):
        video_ids, pictures = (column.to_pylist() for column in keys.slice(start, PAGE).columns)
        yield start, video_ids, pictures
