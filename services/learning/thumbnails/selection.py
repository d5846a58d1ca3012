"""Which videos a dataset is of: those with a label of one kind, and what was known of each."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from db.queries.learning import asof
from ml.thumbnails.data.dataset import DEFAULT_THRESHOLD
from ml.thumbnails.data.schema import ROW_SCHEMA
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.sampling import SAMPLED_OUT, Sample
from services.learning.thumbnails.labels import AUTOMATIC, LABELS, LabelKind, label

AUTO: Final = "auto"
ENOUGH_VIDEOS = 1_000
ENOUGH_SHARE = 0.5
"""``auto`` takes the first kind of label that so many videos have, or this share of all that can
be used; else the lifetime average. One dataset has labels of one kind: which kind a video could
have goes with its age, so a mixture would let age tell the labels apart."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Request:
    """Which dataset is asked for.

    Attributes:
        threshold: Views per day that split over from under.
        label: ``day7``, ``day30``, ``week``, ``lifetime``, or ``auto``: the first of day7, week
            and lifetime that enough videos have.
        pictures: Whether videos without a picture are left out. False is for models that look at
            none: the dataset then has no pictures at all.
        force: Freeze anew even if nothing was added.
    """

    threshold: float = DEFAULT_THRESHOLD
    label: str = AUTO
    pictures: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown label."""
        if self.label not in (AUTO, *LABELS):
            raise UsageError(
                f"there is no label {self.label!r}", hint=f"one of {AUTO}, {', '.join(LABELS)}"
            )


@dataclass(frozen=True)
class Selected:
    """The rows that have a label of one kind, and how many videos are not among them, by reason."""

    rows: pa.Table
    excluded: dict[str, int]
    kind: LabelKind


def select(context: Context, request: Request, now: datetime) -> Selected:
    """Choose the kind of label and the rows that have it, as of ``now``.

    Raises:
        PermanentError: No video can be used; the message counts why (``noData``).
    """
    names = AUTOMATIC if request.label == AUTO else (request.label,)
    for name in names:
        selected = select_labelled(context, LABELS[name], request, now)
        unlabelled = sum(selected.excluded.get(r, 0) for r in _OF_THE_LABEL)
        usable = selected.rows.num_rows + selected.excluded.get(SAMPLED_OUT, 0)
        enough = min(ENOUGH_VIDEOS, ENOUGH_SHARE * (usable + unlabelled))
        if selected.rows.num_rows and (name == names[-1] or usable >= enough):
            return selected
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(selected.excluded.items()))
    raise PermanentError(
        f"no video can be learned from ({reasons or 'none is known'})",
        reason="noData",
        hint="crawl some channels first: `tubegrader channels crawl @handle`"
        if request.label in (AUTO, "lifetime")
        else "collect for longer, or ask for another label: `--label auto`",
    )


_OF_THE_LABEL: Final = ("noCountAtAge", "noCountBefore", "seenTooLate", "metricBreak", "tooYoung")
"""The reasons that another kind of label might not have."""


def select_labelled(
    context: Context,
    kind: LabelKind,
    request: Request,
    now: datetime,
    *,
    why_not: Callable[[Mapping[str, Any]], str | None] = lambda _video: None,
) -> Selected:
    """Return the videos that have a label of one kind, as of ``now``; of too many a sample.

    Args:
        context: What to work with.
        kind: Of label.
        request: Which dataset is asked for.
        now: Nothing that was seen later is looked at.
        why_not: Says of a video why it is not asked for; None: it is.
    """
    excluded: Counter[str] = Counter()
    sample = Sample(context.settings.training_videos, ROW_SCHEMA)
    with context.transaction() as session:
        for page in asof.rows(session, as_of=now, span=kind.span, days=kind.days):
            rows = []
            for video in page:
                row = why_not(video) or _why_not(video, request) or _row(kind, video, request)
                if isinstance(row, str):
                    excluded[row] += 1
                else:
                    rows.append(row)
            sample.add(rows)
    table = sample.rows()
    if left := sample.seen - table.num_rows:
        excluded[SAMPLED_OUT] = left
    return Selected(*_one_size(table, excluded), kind)


def _why_not(video: Mapping[str, Any], request: Request) -> str | None:
    if video["is_gone"]:
        return "gone"
    if video["live_broadcast_content"] is None:
        return "liveStateUnknown"
    if video["live_broadcast_content"] != "none":
        return "liveOrUpcoming"
    if request.pictures and video["thumbnail_sha256"] is None:
        return "noThumbnail"
    return None


def _row(kind: LabelKind, video: Mapping[str, Any], request: Request) -> dict[str, Any] | str:
    found = label(kind, video)
    if isinstance(found, str):
        return found
    began, predicted = video["began_at"], video["predicted_at"]
    subscribers_at, title = video["subscribers_at"], video["title"]
    picture = request.pictures
    return {
        "video_id": video["video_id"],
        "channel_id": video["channel_id"],
        "title": title,
        "published_at": began,
        "predicted_at": predicted,
        "thumbnail_sha256": video["thumbnail_sha256"] if picture else None,
        "thumbnail_variant": video["variant"] if picture else None,
        "thumbnail_width": video["width"] if picture else None,
        "thumbnail_height": video["height"] if picture else None,
        "perceptual_hash": video["perceptual_hash"] if picture else None,
        "thumbnail_known_at": video["first_seen_at"] if picture else None,
        "subscriber_count": video["subscriber_count"],
        "subscriber_count_high": video["subscriber_count_high"],
        "subscribers_known_at": subscribers_at,
        "subscribers_after": subscribers_at is not None and subscribers_at > predicted,
        "channel_age_days": _days(video["channel_published_at"], predicted),
        "n_earlier_videos": video["n_earlier"],
        "earlier_log_views_per_day": video["earlier_log_views_per_day"],
        "history_known_at": video["history_at"],
        "days_since_last_upload": _days(video["last_upload_at"], began),
        "format": video["format"],
        "duration_s": video["duration_s"],
        "category_id": video["category_id"],
        "published_hour": began.hour,
        "published_weekday": began.weekday(),
        "title_length": None if title is None else len(title),
        "label_kind": kind.name,
        **found.as_row(),
    }


def _days(start: datetime | None, end: datetime) -> float | None:
    return None if start is None else max((end - start) / _DAY, 0.0)


def _one_size(rows: pa.Table, excluded: Counter[str]) -> tuple[pa.Table, dict[str, int]]:
    """Leave out pictures of another size than most: the size goes with a video's age and format."""
    columns = ["thumbnail_width", "thumbnail_height"]
    counted = rows.select(columns).group_by(columns, use_threads=False)
    sizes = [
        (size["count_all"], *(size[name] for name in columns))
        for size in counted.aggregate([([], "count_all")]).to_pylist()
        if size[columns[0]] is not None
    ]
    if len(sizes) > 1:
        # Of several that are as many the one that came first.
        _, width, height = max(sizes, key=lambda size: size[0])
        same = pc.and_(
            pc.equal(rows["thumbnail_width"], width), pc.equal(rows["thumbnail_height"], height)
        )
        kept = rows.filter(same)
        excluded["otherThumbnailSize"] += rows.num_rows - kept.num_rows
        rows = kept
    return rows, dict(excluded)
