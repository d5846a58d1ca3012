"""Pages of channels and videos for people who look around: by index, each after the last one."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog.watchlist import NARROWED

Order = Literal["newest", "underestimated", "overestimated"]

_HAS_WORDS = (
    "to_tsvector('simple', coalesce(v.title, '')) @@ websearch_to_tsquery('simple', :title)"
)
_SHOWN = """
    v.video_id, v.channel_id, c.title AS channel_title, v.title, v.published_at, v.format, v.state,
    v.duration_s, n.view_count, n.captured_at AS views_captured_at, n.views_per_day,
    s.probability_over, s.log10_residual,
    greatest(power(10, s.log10_views_per_day) - 1, 0) AS predicted_views_per_day, s.scored_at, (
        SELECT t.thumbnail_sha256 FROM video_thumbnails t
        WHERE t.video_id = v.video_id AND t.is_current
    ) AS thumbnail_sha256
"""
_BESIDE = """
    JOIN channels c ON c.channel_id = v.channel_id
    LEFT JOIN newest_counts n ON n.video_id = v.video_id
"""
_NEWEST = "ORDER BY v.published_at DESC, v.video_id DESC LIMIT :limit"
FEW = 10_000
"""So many videos with a word in their titles are sorted; of more, the newest come by soon."""
# The planner knows words that are frequent, and takes every other for one in 200 titles: it would
# go through all videos, the newest first, for one that hardly any has.
_BY_WORDS = f"""
    found AS MATERIALIZED (
        SELECT v.video_id, v.published_at FROM videos v WHERE {{where}} LIMIT :few + 1
    ), page AS (
        SELECT * FROM videos WHERE (SELECT count(*) FROM found) <= :few
            AND video_id IN (SELECT v.video_id FROM found v {_NEWEST})
        UNION ALL
        SELECT * FROM ({{newest}}) newest WHERE (SELECT count(*) FROM found) > :few
    )
"""


def channels(
    session: Session,
    *,
    tag: str | None = None,
    state: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return channels by title, with their newest counts.

    Args:
        session: The unit of work.
        tag: Only those that have it.
        state: Only in this state, ``paused``, ``watched`` or ``imported``.
        after: Title (empty for none) and id of the last one of the page before.
        limit: The most to return.
    """
    rows = session.execute(
        text(
            f"""
            WITH page AS (
                SELECT * FROM channels c
                WHERE (coalesce(c.title, ''), c.channel_id) > (:after_title, :after_id)
                  AND {NARROWED}
                ORDER BY coalesce(c.title, ''), c.channel_id
                LIMIT :limit
            )
            SELECT c.channel_id, c.handle, c.title, c.state, c.watched, c.paused_at, c.language,
                c.added_at, c.refreshed_at, ARRAY(
                    SELECT tag FROM channel_tags t WHERE t.channel_id = c.channel_id ORDER BY tag
                ) AS tags, s.subscriber_count, s.view_count, s.video_count,
                s.captured_at AS counts_at
            FROM page c
            LEFT JOIN LATERAL (
                SELECT * FROM channel_snapshots
                WHERE channel_id = c.channel_id ORDER BY slot DESC LIMIT 1
            ) s ON true
            ORDER BY coalesce(c.title, ''), c.channel_id
            """
        ),
        {
            "tag": tag,
            "state": state,
            "after_title": after[0] if after else "",
            "after_id": after[1] if after else "",
            "limit": limit,
        },
    ).mappings()
    return [dict(row) for row in rows]


def newest_videos(
    session: Session,
    *,
    model_version_id: int | None,
    channel_id: str | None = None,
    title: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return videos, the newest first, with what a model says of them.

    Args:
        session: The unit of work.
        model_version_id: Whose scores; None: no model's.
        channel_id: Only of this channel.
        title: Only those whose title has these words.
        after: Moment of publication and id of the last one of the page before.
        limit: The most to return.
    """
    conditions = {
        "v.channel_id = :channel_id": channel_id,
        _HAS_WORDS: title,
        "(v.published_at, v.video_id) < (:after_at, :after_id)": after,
    }
    where = " AND ".join(c for c, value in conditions.items() if value is not None) or "true"
    newest = f"SELECT * FROM videos v WHERE {where} {_NEWEST}"
    rows = session.execute(
        text(
            f"""
            WITH {_BY_WORDS.format(where=where, newest=newest) if title else f"page AS ({newest})"}
            SELECT {_SHOWN}
            FROM page v {_BESIDE}
            LEFT JOIN current_scores s ON s.video_id = v.video_id AND s.model_version_id = :model
            ORDER BY v.published_at DESC, v.video_id DESC
            """
        ),
        {
            "channel_id": channel_id,
            "title": title,
            "after_at": after[0] if after else None,
            "after_id": after[1] if after else None,
            "model": model_version_id,
            "limit": limit,
            **({"few": FEW} if title else {}),
        },
    ).mappings()
    return [dict(row) for row in rows]


def surprising_videos(
    session: Session,
    *,
    rung: str,
    model_version_id: int,
    more_than_predicted: bool,
    after: tuple[float, str] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return videos by how far their views are from what a model predicted, the furthest first.

    Args:
        session: The unit of work.
        rung: The model's.
        model_version_id: The model.
        more_than_predicted: Those that got more, or those that got less.
        after: log10 of actual over predicted, and id, of the last one of the page before.
        limit: The most to return.
    """
    order, sign = ("DESC", "<") if more_than_predicted else ("ASC", ">")
    beyond = (
        f"AND s.log10_residual {sign}= :after_residual "
        f"AND (s.log10_residual, s.video_id) {sign} (:after_residual, :after_id)"
    )
    rows = session.execute(
        text(
            f"""
            WITH page AS (
                SELECT * FROM current_scores s
                WHERE s.rung = :rung AND s.model_version_id = :model
                  AND s.log10_residual IS NOT NULL {beyond if after else ""}
                ORDER BY s.log10_residual {order}, s.video_id {order} LIMIT :limit
            )
            SELECT {_SHOWN}
            FROM page s JOIN videos v ON v.video_id = s.video_id {_BESIDE}
            ORDER BY s.log10_residual {order}, s.video_id {order}
            """
        ),
        {
            "rung": rung,
            "model": model_version_id,
            "after_residual": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
    ).mappings()
    return [dict(row) for row in rows]


def video(
    session: Session, video_id: str, *, model_version_id: int | None
) -> dict[str, Any] | None:
    """Return what is known of one video, with what a model says of it; None if there is none."""
    row = (
        session.execute(
            text(
                f"""
                SELECT {_SHOWN}, v.first_seen_at, v.refreshed_at, v.gone_at
                FROM videos v {_BESIDE}
                LEFT JOIN current_scores s
                    ON s.video_id = v.video_id AND s.model_version_id = :model
                WHERE v.video_id = :id
                """
            ),
            {"id": video_id, "model": model_version_id},
        )
        .mappings()
        .first()
    )
    return None if row is None else dict(row)


def counts_over_time(session: Session, video_id: str, *, limit: int) -> list[dict[str, Any]]:
    """Return the newest counts of a video that were kept, the oldest of them first."""
    rows = session.execute(
        text(
            """
            SELECT * FROM (
                SELECT captured_at, view_count, like_count, comment_count FROM video_snapshots
                WHERE video_id = :id ORDER BY slot DESC LIMIT :limit
            ) newest ORDER BY captured_at
            """
        ),
        {"id": video_id, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def subscribers_over_time(session: Session, channel_id: str, *, limit: int) -> list[dict[str, Any]]:
    """Return the newest counts of a channel that were kept, the oldest of them first."""
    rows = session.execute(
        text(
            """
            SELECT * FROM (
                SELECT captured_at, subscriber_count, view_count, video_count
                FROM channel_snapshots
                WHERE channel_id = :id ORDER BY slot DESC LIMIT :limit
            ) newest ORDER BY captured_at
            """
        ),
        {"id": channel_id, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def thumbnail_versions(session: Session, video_id: str) -> list[dict[str, Any]]:
    """Return the pictures that a video has shown, the first one first."""
    rows = session.execute(
        text(
            """
            SELECT version, thumbnail_sha256, first_seen_at, last_seen_at, is_current
            FROM video_thumbnails WHERE video_id = :id ORDER BY version
            """
        ),
        {"id": video_id},
    ).mappings()
    return [dict(row) for row in rows]


def scores_of(session: Session, video_id: str) -> list[dict[str, Any]]:
    """Return what the models in use say of a video with the picture that it shows now."""
    rows = session.execute(
        text(
            """
            SELECT s.rung, m.version, s.probability_over,
                greatest(power(10, s.log10_views_per_day) - 1, 0) AS predicted_views_per_day,
                s.log10_residual, s.scored_at, s.model_version_id
            FROM current_scores s JOIN model_versions m USING (model_version_id)
            WHERE s.video_id = :id ORDER BY s.rung
            """
        ),
        {"id": video_id},
    ).mappings()
    return [dict(row) for row in rows]


def swaps_of(session: Session, channel_id: str, *, videos: int, limit: int) -> list[dict[str, Any]]:
    """Return the newest changes of pictures among a channel's newest videos, both pictures of each.

    Args:
        session: The unit of work.
        channel_id: Whose.
        videos: How many of its newest are looked at.
        limit: The most to return.
    """
    rows = session.execute(
        text(
            """
            WITH newest AS (
                SELECT video_id, title FROM videos WHERE channel_id = :channel
                ORDER BY published_at DESC, video_id DESC LIMIT :videos
            )
            SELECT n.video_id, n.title, t.first_seen_at AS swapped_at, b.thumbnail_sha256 AS before,
                t.thumbnail_sha256 AS after
            FROM newest n
            JOIN video_thumbnails t ON t.video_id = n.video_id AND t.version > 1
            JOIN video_thumbnails b ON b.video_id = t.video_id AND b.version = t.version - 1
            ORDER BY t.first_seen_at DESC, n.video_id
            LIMIT :limit
            """
        ),
        {"channel": channel_id, "videos": videos, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]
