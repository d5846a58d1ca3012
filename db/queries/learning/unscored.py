"""Which videos lack a score: found newest first, a page of the catalogue at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog.videos import ToScore
from db.queries.learning import asof

Key = tuple[datetime, str]
"""When a video was published, and its id."""


# In an index of those that are gone: hashes lie all over, so each would be a page of the table.
_IS_THERE = """
    NOT EXISTS (
        SELECT FROM thumbnails p
        WHERE p.thumbnail_sha256 = t.thumbnail_sha256 AND p.purged_at IS NOT NULL
    )
"""


@dataclass(frozen=True)
class Page:
    """The next videos of the catalogue, and those of them that lack a score.

    Attributes:
        last: Where the next page begins; None: this was the last one.
        video_ids: Lacking a score of one of the models, the newest first.
        thumbnails: The picture that each shows, as it is in the store.
    """

    last: Key | None
    video_ids: Sequence[str]
    thumbnails: Sequence[str]


def page(
    session: Session, *, model_version_ids: Collection[int], before: Key | None, limit: int
) -> Page:
    """Return what lacks a score of any of the models among the next videos, newest first.

    Args:
        session: The unit of work.
        model_version_ids: The models: those in use, or the newest.
        before: Where the last page ended; None: the first one.
        limit: How many videos are looked at, so that it takes as long whatever lacks a score.
    """
    after = "" if before is None else "WHERE (published_at, video_id) < (:published_at, :video_id)"
    # Every step goes by a key, and of a video that has its scores nothing is read but index
    # entries. OFFSET 0 keeps the look-ups from becoming scans, page after page.
    statement = text(
        f"""
        WITH page AS MATERIALIZED (
            SELECT published_at, video_id FROM videos {after}
            ORDER BY published_at DESC, video_id DESC LIMIT :limit
        ), lacking AS MATERIALIZED (
            SELECT page.published_at, page.video_id FROM page
            CROSS JOIN LATERAL (
                SELECT count(*) AS n FROM current_scores s
                WHERE s.video_id = page.video_id AND s.model_version_id = ANY(:models)
                OFFSET 0
            ) scored
            WHERE scored.n < :n_models
        ), shown AS (
            SELECT lacking.published_at, lacking.video_id, t.thumbnail_sha256 FROM lacking
            CROSS JOIN LATERAL (
                SELECT t.thumbnail_sha256 FROM video_thumbnails t
                WHERE t.video_id = lacking.video_id AND t.is_current AND {_IS_THERE}
                OFFSET 0
            ) t
        )
        SELECT (SELECT count(*) FROM page), last.published_at, last.video_id,
            coalesce((
                SELECT array_agg(video_id ORDER BY published_at DESC, video_id DESC) FROM shown
            ), '{{}}'),
            coalesce((
                SELECT array_agg(thumbnail_sha256 ORDER BY published_at DESC, video_id DESC)
                FROM shown
            ), '{{}}')
        FROM (SELECT 1) one LEFT JOIN LATERAL (
            SELECT published_at, video_id FROM page ORDER BY published_at, video_id LIMIT 1
        ) last ON true
        """
    )
    values = {
        "models": list(model_version_ids),
        "n_models": len(set(model_version_ids)),
        "limit": limit,
    }
    if before is not None:
        values |= {"published_at": before[0], "video_id": before[1]}
    n, published_at, video_id, video_ids, thumbnails = session.execute(statement, values).one()
    return Page((published_at, video_id) if n == limit else None, video_ids, thumbnails)


def to_score(
    session: Session,
    video_ids: Collection[str],
    *,
    model_version_ids: Collection[int],
    now: datetime,
) -> list[ToScore]:
    """Return those of the videos whose current thumbnail lacks a score of any of the models.

    Args:
        session: The unit of work.
        video_ids: Of a shard.
        model_version_ids: The models.
        now: Ages are counted up to this moment.

    Returns:
        By video id, with what is known now.
    """
    statement = text(
        f"""
        WITH asked AS MATERIALIZED (
            SELECT t.video_id, t.thumbnail_sha256 FROM video_thumbnails t
            WHERE t.video_id = ANY(:videos) AND t.is_current AND {_IS_THERE}
              AND (
                SELECT count(*) FROM scores s
                WHERE s.video_id = t.video_id AND s.thumbnail_sha256 = t.thumbnail_sha256
                  AND s.model_version_id = ANY(:models)
              ) < :n_models
        )
        SELECT v.video_id, v.channel_id, asked.thumbnail_sha256,
               b.subscriber_count, b.subscriber_count_high,
               {_days("CAST(:now AS timestamptz)", "began.at")} AS age_days,
               v.format, v.duration_s,
               {_days("CAST(:now AS timestamptz)", "c.published_at")} AS channel_age_days,
               e.n_earlier AS n_earlier_videos, h.log_views_per_day AS earlier_log_views_per_day,
               {_days("began.at", "e.last_upload_at")} AS days_since_last_upload
        FROM asked
        JOIN videos v ON v.video_id = asked.video_id
        JOIN channels c ON c.channel_id = v.channel_id
        CROSS JOIN LATERAL (SELECT coalesce(v.actual_start_at, v.published_at) AS at) began
        CROSS JOIN LATERAL (SELECT CAST(:now AS timestamptz) AS predicted_at) m
        LEFT JOIN LATERAL (
            SELECT subscriber_count, subscriber_count_high FROM channel_snapshots
            WHERE channel_id = v.channel_id ORDER BY slot DESC LIMIT 1
        ) b ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS n_earlier, max(w.published_at) AS last_upload_at FROM videos w
            WHERE w.channel_id = v.channel_id AND w.live_broadcast_content = 'none'
              AND (w.published_at, w.video_id) < (v.published_at, v.video_id)
        ) e
        {asof.USUAL_VIEWS}
        ORDER BY v.video_id
        """
    )
    rows = session.execute(
        statement,
        {
            "videos": list(video_ids),
            "models": list(model_version_ids),
            "n_models": len(set(model_version_ids)),
            "now": now,
            "history": asof.HISTORY,
        },
    )
    return [ToScore(**row) for row in rows.mappings()]


def pictures(session: Session, video_ids: Collection[str]) -> list[str]:
    """Return the pictures that some videos show, each once."""
    statement = text(
        "SELECT DISTINCT thumbnail_sha256 FROM video_thumbnails "
        "WHERE video_id = ANY(:videos) AND is_current ORDER BY 1"
    )
    return list(session.scalars(statement, {"videos": list(video_ids)}))


def count(session: Session, *, model_version_ids: Collection[int]) -> int:
    """Count the videos whose current thumbnail lacks a score of any of the models.

    Side by side along two keys in their order: of a video that has all of its scores nothing is
    read but the entries of both. Only of the others it is asked which picture it is, and whether
    its bytes are there.
    """
    statement = text(
        """
        SELECT count(*) FROM video_thumbnails t
        LEFT JOIN (
            SELECT s.video_id, count(*) AS n FROM current_scores s
            WHERE s.model_version_id = ANY(:models) GROUP BY s.video_id
        ) scored ON scored.video_id = t.video_id
        WHERE t.is_current AND CASE WHEN coalesce(scored.n, 0) < :n_models THEN (
            SELECT p.purged_at IS NULL FROM video_thumbnails c
            JOIN thumbnails p ON p.thumbnail_sha256 = c.thumbnail_sha256
            WHERE c.video_id = t.video_id AND c.is_current
        ) END
        """
    )
    values = {"models": list(model_version_ids), "n_models": len(set(model_version_ids))}
    return int(session.execute(statement, values).scalar_one())


def _days(end: str, start: str) -> str:
    return f"greatest(extract(epoch FROM {end} - {start})::float8 / 86400, 0)"
