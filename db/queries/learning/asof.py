"""What was known of each video at the moment of its prediction, for datasets.

A row's moments follow each other. ``label_from``: the views that are to be predicted begin to count
(the video begins, or the earlier of two snapshots). ``predicted_at``: the same, or later where we
saw the video or its picture for the first time only then, or the channel's earlier videos in the
same round: which of them a crawl happened to read first says nothing. Every feature is the newest
that was known at ``predicted_at``. ``as_of`` bounds everything: nothing seen later is looked at.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import streaming

Span = Literal["fixedAge", "growth", "lifetime"]
"""Which snapshots a label is made of."""

HISTORY = 10
"""How many earlier videos of the channel tell what it usually gets."""
ROUND = timedelta(days=1)
"""What we see of a channel for the first time within so long of each other is of one round."""
PAGE = 5_000

LATENESS = timedelta(days=2)
"""Snapshots are looked up by their slots, which decide the partition; they are read a little
later than that. A count that was read later still is not found: one label less, none wrong."""


def rows(
    session: Session, *, as_of: datetime, span: Span, days: float
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield pages of one row a video, ordered by video id, read from the server page by page.

    Rows whose pieces are missing come too, so that exclusions can be counted.

    Args:
        session: The unit of work; it stays busy until the last page.
        as_of: Nothing that was seen later is looked at.
        span: ``fixedAge``: the last snapshot before and the first after the age of ``days``, from
            half to twice that age. ``growth``: the newest snapshot, and the one ``days`` before
            it, give or take a third. ``lifetime``: the newest snapshot.
        days: The age, or the time between the two; of no matter for ``lifetime``.
    """
    statement = text(_STATEMENT.format(**_SPANS[span], earlier=_EARLIER, history=USUAL_VIEWS))
    length = timedelta(days=days)
    bounds = {
        "as_of": as_of,
        "length": length,
        "shortest": length * 2 / 3,
        "longest": length * 4 / 3,
        "lateness": LATENESS,
        "history": HISTORY,
        "round": ROUND,
    }
    wanted = {name: value for name, value in bounds.items() if f":{name}" in statement.text}
    for page in streaming.pages(session, statement, wanted, size=PAGE):
        yield [row._asdict() for row in page]


_NEWEST = """
    SELECT s.view_count, s.captured_at, s.view_definition FROM video_snapshots s
    WHERE s.video_id = v.video_id AND s.view_count IS NOT NULL
      AND s.slot <= :as_of AND s.captured_at <= :as_of
    ORDER BY s.slot DESC LIMIT 1
"""

_SPANS: dict[Span, dict[str, str]] = {
    "fixedAge": {
        "newer": """
            SELECT s.view_count, s.captured_at, s.view_definition FROM video_snapshots s
            WHERE s.video_id = v.video_id AND s.view_count IS NOT NULL
              AND s.slot >= v.began_at + :length - :lateness
              AND s.slot <= v.began_at + 2 * :length
              AND s.captured_at >= v.began_at + :length
              AND s.captured_at <= least(v.began_at + 2 * :length, :as_of)
            ORDER BY s.captured_at LIMIT 1
        """,
        "older": """
            SELECT s.view_count, s.captured_at, s.view_definition FROM video_snapshots s
            WHERE s.video_id = v.video_id AND s.view_count IS NOT NULL
              AND s.slot >= v.began_at + :length / 2 - :lateness
              AND s.slot <= v.began_at + :length
              AND s.captured_at >= v.began_at + :length / 2
              AND s.captured_at <= least(v.began_at + :length, :as_of)
            ORDER BY s.captured_at DESC LIMIT 1
        """,
        "label_from": "v.began_at",
    },
    "growth": {
        "newer": _NEWEST,
        "older": """
            SELECT s.view_count, s.captured_at, s.view_definition FROM video_snapshots s
            WHERE s.video_id = v.video_id AND s.view_count IS NOT NULL
              AND s.slot >= n.captured_at - :longest - :lateness
              AND s.slot <= n.captured_at - :shortest
              AND s.captured_at BETWEEN n.captured_at - :longest AND n.captured_at - :shortest
            ORDER BY abs(extract(epoch FROM n.captured_at - :length - s.captured_at)) LIMIT 1
        """,
        "label_from": "o.captured_at",
    },
    "lifetime": {
        "newer": _NEWEST,
        "older": """
            SELECT NULL::bigint AS view_count, NULL::timestamptz AS captured_at,
                   NULL::text AS view_definition
        """,
        "label_from": "v.began_at",
    },
}

_EARLIER = """
            SELECT w.video_id, w.first_seen_at,
                   coalesce(w.actual_start_at, w.published_at) AS began_at
            FROM videos w
            WHERE w.channel_id = v.channel_id AND w.live_broadcast_content = 'none'
              AND (w.published_at, w.video_id) < (v.published_at, v.video_id)
            ORDER BY w.published_at DESC, w.video_id DESC LIMIT :history
"""
USUAL_VIEWS = f"""
    LEFT JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY log((1 + s.view_count / e.age_days)::float8)
               ) AS log_views_per_day,
               max(s.captured_at) AS captured_at
        FROM ({_EARLIER}) w
        CROSS JOIN LATERAL (
            SELECT s.view_count, s.captured_at FROM video_snapshots s
            WHERE s.video_id = w.video_id AND s.view_count IS NOT NULL
              AND s.slot <= m.predicted_at AND s.captured_at <= m.predicted_at
            ORDER BY s.slot DESC LIMIT 1
        ) s
        CROSS JOIN LATERAL (
            SELECT extract(epoch FROM s.captured_at - w.began_at)::float8 / 86400 AS age_days
        ) e
        WHERE e.age_days >= 1
    ) h ON true
"""
"""What earlier videos of the channel of ``v`` got, as known at ``m.predicted_at``: ``h``."""

# The thumbnail is the version in force when the label begins; one first seen later, for want of
# an earlier: the first. Of the channel's earlier videos the views are taken as known at the moment
# of prediction, from a day of age on; a gone one counts, it was there then.
_STATEMENT = """
    WITH known AS (
        SELECT v.*, coalesce(v.actual_start_at, v.published_at) AS began_at,
               count(*) FILTER (WHERE v.live_broadcast_content = 'none') OVER earlier AS n_earlier,
               max(v.published_at) FILTER (WHERE v.live_broadcast_content = 'none')
                   OVER earlier AS last_upload_at
        FROM videos v
        WHERE v.first_seen_at <= :as_of
        WINDOW earlier AS (
            PARTITION BY v.channel_id ORDER BY v.published_at, v.video_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
    SELECT v.video_id, v.channel_id, v.title, v.began_at, v.duration_s, v.category_id, v.format,
           v.live_broadcast_content, v.n_earlier, v.last_upload_at,
           (v.gone_at IS NOT NULL AND v.gone_at <= :as_of) AS is_gone,
           c.published_at AS channel_published_at,
           n.view_count AS newer_views, n.captured_at AS newer_at,
           n.view_definition AS newer_definition,
           o.view_count AS older_views, o.captured_at AS older_at,
           o.view_definition AS older_definition,
           t.thumbnail_sha256, t.variant, t.width, t.height, t.perceptual_hash, t.first_seen_at,
           m.predicted_at,
           coalesce(b.subscriber_count, a.subscriber_count) AS subscriber_count,
           coalesce(b.subscriber_count_high, a.subscriber_count_high) AS subscriber_count_high,
           coalesce(b.captured_at, a.captured_at) AS subscribers_at,
           h.log_views_per_day AS earlier_log_views_per_day, h.captured_at AS history_at
    FROM known v
    JOIN channels c ON c.channel_id = v.channel_id
    LEFT JOIN LATERAL ({newer}) n ON true
    LEFT JOIN LATERAL ({older}) o ON true
    LEFT JOIN LATERAL (
        SELECT CASE WHEN p.purged_at IS NULL THEN p.thumbnail_sha256 END AS thumbnail_sha256,
               vt.variant, p.width, p.height, p.perceptual_hash, vt.first_seen_at
        FROM video_thumbnails vt JOIN thumbnails p USING (thumbnail_sha256)
        WHERE vt.video_id = v.video_id AND vt.first_seen_at <= :as_of
        ORDER BY vt.first_seen_at <= {label_from} DESC,
                 CASE WHEN vt.first_seen_at <= {label_from} THEN -vt.version ELSE vt.version END
        LIMIT 1
    ) t ON true
    CROSS JOIN LATERAL (
        SELECT greatest({label_from}, v.first_seen_at, t.first_seen_at) AS at
    ) seen
    CROSS JOIN LATERAL (
        SELECT greatest(seen.at, max(s.captured_at)) AS predicted_at
        FROM ({earlier}) w
        CROSS JOIN LATERAL (
            SELECT s.captured_at FROM video_snapshots s
            WHERE s.video_id = w.video_id AND s.view_count IS NOT NULL
              AND s.slot >= seen.at - CAST(:lateness AS interval) AND s.slot <= seen.at + :round
              AND s.captured_at > seen.at AND s.captured_at <= least(seen.at + :round, :as_of)
            ORDER BY s.slot LIMIT 1
        ) s
        WHERE w.first_seen_at > seen.at - :round AND NOT EXISTS (
            SELECT FROM video_snapshots b
            WHERE b.video_id = w.video_id AND b.view_count IS NOT NULL
              AND b.slot >= w.first_seen_at - CAST(:lateness AS interval) AND b.slot <= seen.at
              AND b.captured_at <= seen.at
        )
    ) m
    LEFT JOIN LATERAL (
        SELECT s.subscriber_count, s.subscriber_count_high, s.captured_at FROM channel_snapshots s
        WHERE s.channel_id = v.channel_id
          AND s.slot <= m.predicted_at AND s.captured_at <= m.predicted_at
        ORDER BY s.slot DESC LIMIT 1
    ) b ON true
    LEFT JOIN LATERAL (
        SELECT s.subscriber_count, s.subscriber_count_high, s.captured_at FROM channel_snapshots s
        WHERE b.captured_at IS NULL AND s.channel_id = v.channel_id AND s.captured_at <= :as_of
        ORDER BY s.slot LIMIT 1
    ) a ON true
    {history}
    ORDER BY v.video_id
"""
