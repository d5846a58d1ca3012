"""The columns of a dataset: what is known of a video before its views, and the views.

``known_at`` columns carry the moment from which a group of features was known; none is later than
``predicted_at``, which :mod:`ml.thumbnails.data.leakage` holds every dataset to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import LearningError

SCHEMA_VERSION = 2

LABEL_KINDS = ("day7", "day30", "week", "lifetime")
"""Views a day: up to a fixed age, of one week between two snapshots, or since publication (the
fallback: an average over whatever age the video had)."""

_UTC = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null)


ROW_SCHEMA = pa.schema(
    [
        _field("video_id", pa.string()),
        _field("channel_id", pa.string()),
        _field("title", pa.string(), null=True),
        _field("published_at", _UTC),  # of a stream: when it began
        _field("predicted_at", _UTC),  # what is a feature was known by then
        # The picture in force then. All null: the dataset was frozen without this one's picture.
        _field("thumbnail_sha256", pa.string(), null=True),
        _field("thumbnail_variant", pa.string(), null=True),
        _field("thumbnail_width", pa.int32(), null=True),
        _field("thumbnail_height", pa.int32(), null=True),
        _field("perceptual_hash", pa.int64(), null=True),
        _field("thumbnail_known_at", _UTC, null=True),
        # YouTube rounds down to three significant figures: count and high bound the truth.
        _field("subscriber_count", pa.int64(), null=True),  # null: hidden, if known_at is there
        _field("subscriber_count_high", pa.int64(), null=True),
        _field("subscribers_known_at", _UTC, null=True),  # null: never read
        _field("subscribers_after", pa.bool_()),  # read only after the moment of prediction
        _field("channel_age_days", pa.float64(), null=True),
        _field("n_earlier_videos", pa.int64()),
        _field("earlier_log_views_per_day", pa.float64(), null=True),  # median log10(1 + a day)
        _field("history_known_at", _UTC, null=True),
        _field("days_since_last_upload", pa.float64(), null=True),
        _field("format", pa.string(), null=True),  # short, long, live, premiere; null: not known
        _field("duration_s", pa.int64(), null=True),
        _field("category_id", pa.string(), null=True),
        _field("published_hour", pa.int32()),  # UTC
        _field("published_weekday", pa.int32()),  # Monday is 0
        _field("title_length", pa.int32(), null=True),
        # The label: views_per_day, gained from label_from to label_to.
        _field("label_kind", pa.string()),
        _field("label_from", _UTC),
        _field("label_to", _UTC),
        _field("captured_at", _UTC),  # when the last count was read that the label is made of
        _field("mixed_definitions", pa.bool_()),  # YouTube changed what a view is in between
        _field("age_days", pa.float64()),  # at label_to
        _field("view_count", pa.int64()),  # at label_to, all in all
        _field("views_per_day", pa.float64()),
    ]
)
"""What the caller brings, one row a video."""

MANIFEST_SCHEMA = pa.schema(
    [
        *ROW_SCHEMA,
        _field("is_over", pa.bool_()),
        _field("duplicate_group", pa.string()),
        _field("split_group", pa.string()),
    ]
)
"""What the manifest holds. Added on writing: the label ``views_per_day >= threshold``; the videos
with (nearly) the same picture; and what a fold keeps whole, see
:mod:`ml.thumbnails.data.duplicates`."""


@dataclass(frozen=True)
class FeatureGroup:
    """Columns that become known together.

    Attributes:
        columns: Names in the manifest.
        known_at: The column with that moment; None: fixed when the video begins.
    """

    columns: tuple[str, ...]
    known_at: str | None


FEATURE_GROUPS: Mapping[str, FeatureGroup] = MappingProxyType(
    {
        "video": FeatureGroup(
            (
                "format",
                "duration_s",
                "category_id",
                "published_hour",
                "published_weekday",
                "title_length",
            ),
            None,
        ),
        "thumbnail": FeatureGroup(("thumbnail_sha256",), "thumbnail_known_at"),
        "subscribers": FeatureGroup(
            ("subscriber_count", "subscriber_count_high"), "subscribers_known_at"
        ),
        "channel": FeatureGroup(
            ("channel_age_days", "n_earlier_videos", "days_since_last_upload"), None
        ),
        "history": FeatureGroup(("earlier_log_views_per_day",), "history_known_at"),
    }
)
"""What a model may learn from. Age at the label is no feature of this list: it is how the label was
measured, the same for all unless the label is a lifetime average or a week's growth."""

_NOT_NEGATIVE = (
    "view_count",
    "age_days",
    "views_per_day",
    "subscriber_count",
    "subscriber_count_high",
    "n_earlier_videos",
    "earlier_log_views_per_day",
    "days_since_last_upload",
    "duration_s",
    "title_length",
)


def checked(rows: pa.Table) -> pa.Table:
    """Return rows in the form of ``ROW_SCHEMA``, sorted by video id.

    Raises:
        LearningError: Wrong columns, no rows, a video twice, or values that cannot be.
    """
    if set(rows.column_names) != set(ROW_SCHEMA.names):
        different = sorted(set(rows.column_names) ^ set(ROW_SCHEMA.names))
        raise LearningError(
            f"dataset rows need exactly the columns of ROW_SCHEMA; they differ in {different}",
            reason="badRows",
        )
    if rows.num_rows == 0:
        raise LearningError("a dataset needs at least one row", reason="noRows")
    try:
        rows = rows.select(ROW_SCHEMA.names).cast(ROW_SCHEMA).combine_chunks()
    except (pa.ArrowException, ValueError) as error:
        raise LearningError(f"dataset rows do not fit: {error}", reason="badRows") from error
    for field in ROW_SCHEMA:
        if not field.nullable and rows[field.name].null_count:
            raise LearningError(f"column {field.name} may not hold nulls", reason="badRows")
    for column in _NOT_NEGATIVE:
        values = rows[column].cast(pa.float64()).drop_null().to_numpy()
        if not (np.isfinite(values) & (values >= 0)).all():
            raise LearningError(
                f"column {column} holds negative or infinite numbers or NaN", reason="badRows"
            )
    if pc.count_distinct(rows["video_id"]).as_py() != rows.num_rows:
        raise LearningError("a video occurs in two rows", reason="badRows")
    unknown = set(rows["label_kind"].unique().to_pylist()) - set(LABEL_KINDS)
    if unknown:
        raise LearningError(f"label kinds {sorted(unknown)} are not known", reason="badRows")
    return rows.sort_by("video_id")
