"""Reading and writing videos, their snapshots and their thumbnails."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Video, VideoSnapshot, WorkItem
from db.queries import bulk
from db.queries.arrays import among
from db.queries.learning import asof


@dataclass(frozen=True)
class Traits:
    """When a video was published, or a stream started, and its format if that is known."""

    began_at: datetime
    format: str | None


@dataclass(frozen=True)
class ToScore:
    """What a model is asked about one video, named as in datasets; None = not known.

    Subscribers that were read and are None are hidden.
    """

    video_id: str
    channel_id: str
    thumbnail_sha256: str
    subscriber_count: int | None
    subscriber_count_high: int | None
    age_days: float
    format: str | None
    duration_s: int | None
    channel_age_days: float | None
    n_earlier_videos: int
    earlier_log_views_per_day: float | None
    days_since_last_upload: float | None


def add(session: Session, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> list[str]:
    """Add videos (video_id, channel_id, published_at) not known yet; return the new ids."""
    if not rows:
        return []
    statement = (
        insert(Video)
        .values([{**row, "first_seen_at": now} for row in rows])
        .on_conflict_do_nothing()
        .returning(Video.video_id)
    )
    return list(session.scalars(statement))


def known_ids(session: Session, video_ids: Collection[str]) -> set[str]:
    """Return those of the ids that are known."""
    return set(session.scalars(select(Video.video_id).where(among(Video.video_id, video_ids))))


def shown_of(session: Session, channel_ids: Collection[str]) -> list[tuple[str, str]]:
    """Return (video id, channel id) of the channels' known videos, without those that are gone."""
    rows = session.execute(
        select(Video.video_id, Video.channel_id).where(
            among(Video.channel_id, channel_ids), Video.state == "public"
        )
    )
    return [(video_id, channel_id) for video_id, channel_id in rows]


def first_seen(session: Session, video_ids: Collection[str]) -> dict[str, datetime]:
    """Return when each of the videos that are known was first seen."""
    rows = session.execute(
        select(Video.video_id, Video.first_seen_at).where(among(Video.video_id, video_ids))
    )
    return dict(rows.all())


def refresh(session: Session, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """Write what was read of videos: mappings of column names, ``video_id`` among them.

    Who is read is shown: each is public afterwards.
    """
    if rows:
        shown = {"refreshed_at": now, "state": "public", "gone_at": None}
        session.execute(update(Video), [{**row, **shown} for row in rows])


def unsettled(session: Session, video_ids: Collection[str]) -> set[str]:
    """Return those of the videos whose facts are not known, or change still: coming streams."""
    return set(
        session.scalars(
            select(Video.video_id).where(
                among(Video.video_id, video_ids),
                or_(Video.refreshed_at.is_(None), Video.live_broadcast_content != "none"),
            )
        )
    )


def traits(session: Session, video_ids: Collection[str]) -> dict[str, Traits]:
    """Return what decides when each video is read again and what its views are."""
    rows = session.execute(
        select(
            Video.video_id,
            func.coalesce(Video.actual_start_at, Video.published_at),
            Video.format,
        ).where(among(Video.video_id, video_ids))
    )
    return {video_id: Traits(began_at, format_) for video_id, began_at, format_ in rows}


def mark_shown(session: Session, video_ids: Collection[str]) -> None:
    """Note that YouTube shows these videos, those of them that were gone."""
    session.execute(
        update(Video)
        .where(among(Video.video_id, video_ids), Video.state != "public")
        .values(state="public", gone_at=None)
    )


def mark_gone(session: Session, video_ids: Collection[str], *, now: datetime) -> None:
    """Note that YouTube no longer shows these videos; since when stays as it was first noted."""
    session.execute(
        update(Video)
        .where(among(Video.video_id, video_ids), Video.state != "gone")
        .values(state="gone", gone_at=now)
    )


def mark_listed(session: Session, video_ids: Collection[str]) -> list[str]:
    """Note that uploads list these videos; return those that had been gone until now."""
    session.execute(
        update(Video)
        .where(among(Video.video_id, video_ids), Video.unlisted_at.is_not(None))
        .values(unlisted_at=None)
    )
    return list(
        session.scalars(
            update(Video)
            .where(among(Video.video_id, video_ids), Video.state == "gone")
            .values(state="public", gone_at=None)
            .returning(Video.video_id)
        )
    )


def mark_unlisted(session: Session, video_ids: Collection[str], *, now: datetime) -> None:
    """Note that uploads no longer list these videos, although they are shown."""
    session.execute(
        update(Video)
        .where(among(Video.video_id, video_ids), Video.unlisted_at.is_(None))
        .values(unlisted_at=now)
    )


def expected_in_list(
    session: Session, channel_id: str, *, published_after: datetime, seen_before: datetime
) -> set[str]:
    """Return the public videos that a list of uploads down to a moment should have shown."""
    return set(
        session.scalars(
            select(Video.video_id).where(
                Video.channel_id == channel_id,
                Video.published_at > published_after,
                Video.first_seen_at < seen_before,
                Video.state == "public",
                Video.unlisted_at.is_(None),
            )
        )
    )


def append_snapshots(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Append video snapshots; one that exists for its slot is left alone. Return how many."""
    return bulk.append(session, VideoSnapshot, rows)


def put_off_unread(
    session: Session, token: uuid.UUID, *, until: datetime, reason: str, message: str, now: datetime
) -> int:
    """Put off those videos of a lease that would be asked for in full, for want of quota.

    Returns:
        How many items the lease still holds.
    """
    statement = text(
        """
        UPDATE work_items w SET
            state = 'due', ready_at = :until, lease_token = NULL, attempts = 0,
            error_kind = 'quota', error_reason = :reason, error_message = :message, error_at = :now
        FROM videos v
        WHERE w.lease_token = :token AND v.video_id = w.entity_id
          AND (v.refreshed_at IS NULL OR v.live_broadcast_content <> 'none')
        """
    )
    values = {"token": token, "until": until, "reason": reason, "message": message, "now": now}
    session.execute(statement, values)
    left = select(func.count()).where(WorkItem.lease_token == token)
    return session.execute(left).scalar_one()


def count_to_score(
    session: Session, *, model_version_ids: Collection[int], besides: Collection[str] = ()
) -> int:
    """Count the videos that ``to_score`` would return in all, leaving some out."""
    statement = text(f"SELECT count(*) {_TO_SCORE} AND t.video_id <> ALL(:besides)")
    counted = session.execute(
        statement,
        {
            "after": "",
            "models": list(model_version_ids),
            "n_models": len(model_version_ids),
            "besides": list(besides),
        },
    )
    return int(counted.scalar_one())


def to_score(
    session: Session,
    *,
    model_version_ids: Collection[int],
    now: datetime,
    after: str,
    limit: int,
) -> list[ToScore]:
    """Return videos whose current thumbnail lacks a score of any of the model versions.

    Args:
        session: The unit of work.
        model_version_ids: The models.
        now: Ages are counted up to this moment.
        after: Only videos with a greater id: where the last page ended.
        limit: The most to return, by video id.
    """
    statement = text(
        f"""
        WITH asked AS (
            SELECT t.video_id
            {_TO_SCORE}
            ORDER BY t.video_id
            LIMIT :limit
        )
        SELECT v.video_id, v.channel_id, t.thumbnail_sha256,
               b.subscriber_count, b.subscriber_count_high,
               {_days("CAST(:now AS timestamptz)", "began.at")} AS age_days,
               v.format, v.duration_s,
               {_days("CAST(:now AS timestamptz)", "c.published_at")} AS channel_age_days,
               e.n_earlier AS n_earlier_videos, h.log_views_per_day AS earlier_log_views_per_day,
               {_days("began.at", "e.last_upload_at")} AS days_since_last_upload
        FROM asked
        JOIN videos v ON v.video_id = asked.video_id
        JOIN video_thumbnails t ON t.video_id = asked.video_id AND t.is_current
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
            "after": after,
            "models": list(model_version_ids),
            "n_models": len(model_version_ids),
            "limit": limit,
            "now": now,
            "history": asof.HISTORY,
        },
    )
    return [ToScore(**row) for row in rows.mappings()]


def _days(end: str, start: str) -> str:
    return f"greatest(extract(epoch FROM {end} - {start})::float8 / 86400, 0)"


# Side by side along two keys in their order: of a video that has all of its scores nothing is read
# but the entries of both. Only of the others it is asked which picture it is, and whether its bytes
# are there.
_TO_SCORE = """
    FROM video_thumbnails t
    LEFT JOIN (
        SELECT s.video_id, count(*) AS n FROM current_scores s
        WHERE s.video_id > :after AND s.model_version_id = ANY(:models)
        GROUP BY s.video_id
    ) scored ON scored.video_id = t.video_id
    WHERE t.is_current AND t.video_id > :after
      AND CASE WHEN coalesce(scored.n, 0) < :n_models THEN (
        SELECT p.purged_at IS NULL FROM video_thumbnails c
        JOIN thumbnails p ON p.thumbnail_sha256 = c.thumbnail_sha256
        WHERE c.video_id = t.video_id AND c.is_current
      ) END
"""
