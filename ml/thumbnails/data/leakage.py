"""Does a dataset give away what it asks? Checked on freezing, and whenever somebody asks.

A finding is a ``leak``, which no model may be trained on, or a ``note``: a fallback that a reader
of the results must know of. What is checked:

- a feature that became known only after the moment of prediction,
- a channel, or (nearly) the same picture, on both sides of a fold,
- the views hidden inside a feature (:mod:`ml.thumbnails.data.target_leakage`),
- a thumbnail whose size or bars tell the class, rather than what is in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.images.decoding import decode_thumbnail
from ml.images.pictures import BLACK, find_bars
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.duplicates import duplicate_groups
from ml.thumbnails.data.schema import FEATURE_GROUPS
from ml.thumbnails.data.target_leakage import target_leakage

MOST_PICTURES = 1_000
BARS_AUC = 0.65
"""How well the bars alone may tell the classes apart within a format: creators choose bars too."""
_FEWEST = 50
"""With fewer videos an AUC says nothing."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a dataset, or that must be said of it.

    Attributes:
        severity: ``leak``: nothing may be learned from it; ``note``: results must mention it.
        reason: A stable word; those of leaks begin with ``leak``.
        message: One line for people.
        columns: The columns concerned.
        rows: How many videos are concerned.
    """

    severity: Literal["leak", "note"]
    reason: str
    message: str
    columns: tuple[str, ...]
    rows: int


def check(
    dataset: Dataset,
    *,
    folds: IntArray | None = None,
    features: Mapping[str, FloatArray] | None = None,
    pictures: bool = True,
) -> list[Finding]:
    """Check for leaks; the worst come first, an empty list is a clean bill.

    Args:
        dataset: What to check.
        folds: The fold of each row, shape (N,), where they are not those of ``split_group``.
        features: More features by name, each (N,) with NaN where missing, such as measurements
            of the thumbnails.
        pictures: Whether its shards are within reach, and looked at.
    """
    findings = [
        *_late(dataset),
        *_shared(dataset, folds),
        *_sizes(dataset),
        *(_bars(dataset) if pictures else ()),
        *_hidden(dataset, features or {}),
        *_fallbacks(dataset),
    ]
    return sorted(findings, key=lambda found: found.severity)


def require_clean(dataset: Dataset) -> list[Finding]:
    """Check a dataset and return its notes.

    Raises:
        LearningError: It leaks; the reason is that of the first leak, the message names all.
    """
    findings = check(dataset)
    leaks = [found for found in findings if found.severity == "leak"]
    if leaks:
        raise LearningError(
            "the dataset gives away what it asks: " + "; ".join(f.message for f in leaks),
            reason=leaks[0].reason,
        )
    return findings


def _late(dataset: Dataset) -> Iterator[Finding]:
    """Find features that were known too late, and moments that contradict each other."""
    table = dataset.table
    predicted = table["predicted_at"]
    for group, members in FEATURE_GROUPS.items():
        if members.known_at is None:
            continue
        known = table[members.known_at]
        late = pc.greater(known, predicted)
        if group == "subscribers":
            late = pc.and_(late, pc.invert(table["subscribers_after"]))
        yield from _leak(
            late, "leakFutureFeature", f"{group} known after the prediction", members.columns
        )
        has_value = pc.is_valid(table[members.columns[0]])
        yield from _leak(
            pc.and_(has_value, pc.is_null(known)),
            "leakUnknownTime",
            f"{group} of nobody knows when",
            members.columns,
        )
    yield from _leak(
        pc.and_(
            pc.greater_equal(predicted, table["label_to"]),
            pc.not_equal(table["label_kind"], "lifetime"),
        ),
        "leakPredictedAfterLabel",
        "predictions of what had happened already",
        ("predicted_at",),
    )
    as_of = pa.scalar(dataset.description.as_of, pa.timestamp("us", tz="UTC"))
    yield from _leak(
        pc.or_(pc.greater(table["captured_at"], as_of), pc.greater(predicted, as_of)),
        "leakAfterAsOf",
        "rows from after the dataset's moment",
        ("captured_at", "predicted_at"),
    )


def _leak(
    rows: pa.ChunkedArray, reason: str, what: str, columns: Sequence[str]
) -> Iterator[Finding]:
    count = pc.sum(rows).as_py() or 0
    if count:
        yield Finding("leak", reason, f"{count} videos: {what}", tuple(columns), count)


def _shared(dataset: Dataset, folds: IntArray | None) -> Iterator[Finding]:
    """Find channels and copies of a picture that are not kept on one side of every fold."""
    sides = dataset.strings("split_group") if folds is None else folds.tolist()
    channels, groups = dataset.strings("channel_id"), dataset.strings("duplicate_group")
    if split := _on_two_sides(channels, sides):
        message = f"{split} videos are of channels on both sides of a fold"
        yield Finding("leak", "leakSharedChannel", message, ("channel_id",), split)
    table = dataset.table
    recomputed = duplicate_groups(
        table["video_id"].to_pylist(),
        table["thumbnail_sha256"].to_pylist(),
        table["perceptual_hash"].to_pylist(),
    )
    apart = _on_two_sides(recomputed, groups)
    if split := max(_on_two_sides(groups, sides), _on_two_sides(recomputed, sides), apart):
        message = f"{split} videos have a copy of their picture on the other side of a fold"
        yield Finding("leak", "leakSharedPicture", message, ("duplicate_group",), split)


def _on_two_sides(groups: Sequence[str], sides: Sequence[object]) -> int:
    """Count the rows whose group is on more than one side."""
    seen: dict[str, set[object]] = {}
    for group, side in zip(groups, sides, strict=True):
        seen.setdefault(group, set()).add(side)
    return sum(len(seen[group]) > 1 for group in groups)


def _sizes(dataset: Dataset) -> Iterator[Finding]:
    """Find thumbnails of several sizes: which exist goes with a video's age and format."""
    pictured = dataset.table.filter(pc.is_valid(dataset.table["thumbnail_sha256"]))
    columns = ("thumbnail_width", "thumbnail_height")
    sizes = pictured.group_by(list(columns)).aggregate([([], "count_all")]).to_pylist()
    if len(sizes) > 1:
        sizes.sort(key=lambda size: -size["count_all"])
        listed = ", ".join(
            f"{s['count_all']} of {s['thumbnail_width']}×{s['thumbnail_height']}" for s in sizes
        )
        rest = sum(size["count_all"] for size in sizes[1:])
        yield Finding(
            "leak", "leakThumbnailSize", f"thumbnails of several sizes: {listed}", columns, rest
        )


def _bars(dataset: Dataset) -> Iterator[Finding]:
    """Find bars around the pictures, as models see them, that tell the classes apart."""
    hashes = sorted(set(dataset.table["thumbnail_sha256"].drop_null().to_pylist()))
    step = max(1, -(-len(hashes) // MOST_PICTURES))
    wanted = set(islice(hashes, 0, None, step))
    share = {
        sha256: bar_share(decode_thumbnail(data, name=sha256))
        for sha256, data in dataset.thumbnails(wanted)
    }
    pictures = np.array([share.get(s, np.nan) for s in dataset.strings("thumbnail_sha256")])
    formats = np.array(dataset.table["format"].fill_null("").to_pylist())
    for format_ in sorted(set(formats.tolist())):
        rows = ~np.isnan(pictures) & (formats == format_)
        over = dataset.is_over[rows]
        if min(over.sum(), (~over).sum()) < _FEWEST:
            continue
        auc = metrics.auc(over, pictures[rows])
        if max(auc, 1 - auc) > BARS_AUC:
            yield Finding(
                "leak",
                "leakThumbnailBars",
                f"the bars around {format_ or 'the'} pictures alone tell the classes apart with "
                f"an AUC of {max(auc, 1 - auc):.2f}",
                ("thumbnail_sha256",),
                int((pictures[rows] > 0).sum()),
            )


def bar_share(image: ImageArray) -> float:
    """Return the share of a picture (height, width, 3) under bars, as those who cut them find them.

    A picture that is black all over shows nothing else.
    """
    if not (image > BLACK).any():
        return 1.0
    return find_bars(image).share(*image.shape[:2])


def _hidden(dataset: Dataset, features: Mapping[str, FloatArray]) -> Iterator[Finding]:
    for column, how in target_leakage(dataset, features).items():
        yield Finding(
            "leak",
            "leakViewsInFeature",
            f"{column} holds the views: {how}",
            (column,),
            len(dataset),
        )


def _fallbacks(dataset: Dataset) -> Iterator[Finding]:
    table = dataset.table
    notes = {
        "lifetimeLabel": (
            pc.equal(table["label_kind"], "lifetime"),
            "labelled by their average since publication, which was over before the prediction",
            "label_kind",
        ),
        "subscribersAfter": (
            table["subscribers_after"],
            "with subscribers that were read only after the prediction",
            "subscribers_after",
        ),
        "mixedDefinitions": (
            table["mixed_definitions"],
            "whose count mixes what YouTube called a view before and after a change",
            "mixed_definitions",
        ),
    }
    for reason, (rows, what, column) in notes.items():
        count = pc.sum(rows).as_py() or 0
        if count:
            share = count / len(dataset)
            yield Finding("note", reason, f"{count} videos ({share:.0%}) {what}", (column,), count)
    kinds = sorted(set(dataset.strings("label_kind")))
    if len(kinds) > 1:
        yield Finding(
            "note",
            "mixedLabels",
            f"labels of several kinds: {', '.join(kinds)}",
            ("label_kind",),
            len(dataset),
        )
