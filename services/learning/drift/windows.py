"""Which videos are held against which: a window of new ones, and the champion's like with like."""

from dataclasses import dataclass

import numpy as np

from ml.arrays import IntArray
from ml.evaluation.drift import MIN_CHANNELS, MIN_VIDEOS
from ml.thumbnails.data.dataset import Dataset

FIXED_AGE = {"day7", "day30"}
"""Labels that are counted at the same age of every video, so that old and new can be compared."""
NEWEST_SHARE = 0.25


@dataclass(frozen=True)
class Windows:
    """Two sets of rows.

    Attributes:
        reference: Rows of the champion's dataset, ascending.
        window: Rows of the newest dataset, ascending.
        is_since: The window's videos are newer than all that the champion learned on; else they are
            the newest quarter of these.
    """

    reference: IntArray
    window: IntArray
    is_since: bool


def choose(learned: Dataset, newest: Dataset) -> Windows | str:
    """Choose what is compared; return why nothing can be if that is so.

    Videos published after the last one that the champion learned on; where these are too few, the
    newest quarter of what it learned on against the rest. Labels whose age is not fixed go with
    age: then videos are compared only with those that were as young, and a quarter never with the
    rest, which is older.

    Args:
        learned: The champion's dataset.
        newest: The newest one; it may be the same.
    """
    if learned.description.threshold != newest.description.threshold:
        return (
            f"The champion asks for {learned.description.threshold:g} views a day, the newest "
            f"dataset for {newest.description.threshold:g}."
        )
    kinds = set(learned.strings("label_kind"))
    if kinds != set(newest.strings("label_kind")):
        return "The newest dataset counts views in another way than the one the champion learned."
    published = [_moments(dataset) for dataset in (learned, newest)]
    since = np.flatnonzero(published[1] > published[0].max())
    if _is_enough(newest, since):
        reference = np.arange(len(learned))
        if not kinds <= FIXED_AGE:
            oldest = newest.numbers("age_days")[since].max()
            reference = np.flatnonzero(learned.numbers("age_days") <= oldest)
        if _is_enough(learned, reference):
            return Windows(reference, since, is_since=True)
        return f"Only {len(reference)} videos of the champion's were as young as the new ones are."
    found = f"{len(since)} videos were published since the champion learned"
    needed = f"{MIN_VIDEOS} of {MIN_CHANNELS} channels are needed"
    if not kinds <= FIXED_AGE:
        return f"{found}; {needed}."
    order = np.argsort(published[0], kind="stable")
    cut = len(order) - int(NEWEST_SHARE * len(order))
    reference, quarter = np.sort(order[:cut]), np.sort(order[cut:])
    if _is_enough(learned, reference) and _is_enough(learned, quarter):
        return Windows(reference, quarter, is_since=False)
    return f"{found}, and the newest quarter of its own are {len(quarter)}; {needed}."


def _moments(dataset: Dataset) -> IntArray:
    return np.asarray(dataset.table["published_at"].cast("int64").to_numpy(), dtype=np.int64)


def _is_enough(dataset: Dataset, rows: IntArray) -> bool:
    channels = set(dataset.table["channel_id"].take(rows).to_pylist())
    return len(rows) >= MIN_VIDEOS and len(channels) >= MIN_CHANNELS
