"""Reading and writing videos, their snapshots and their thumbnails."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, false, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Video, VideoSnapshot, WorkItem
from db.queries import bulk
from db.queries.arrays import among


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


def unsettled(
    session: Session, video_ids: Collection[str], *, unknown_before: datetime | None
) -> set[str]:
    """Return those of the videos whose facts are not known, or change still: coming streams.

    One of which it is not known whether it is a stream is among them only if it was last read
    before a moment, if any: its counts are read meanwhile.
    """
    return set(
        session.scalars(
            select(Video.video_id).where(
                among(Video.video_id, video_ids),
                or_(
                    Video.refreshed_at.is_(None),
                    Video.live_broadcast_content != "none",
                    and_(
                        Video.live_broadcast_content.is_(None),
                        Video.refreshed_at < unknown_before,
                    )
                    if unknown_before is not None
                    else false(),
                ),
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
    """Put off those videos of a lease that have to be asked for in full, for want of quota.

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
