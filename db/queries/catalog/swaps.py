"""Swapped thumbnails and the counts around them, for the natural experiment they are."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import streaming

PAGE = 5_000


@dataclass(frozen=True)
class Change:
    """One swap.

    Attributes:
        video_id: Of the video.
        old_sha256: Its picture before.
        new_sha256: Its picture after.
        shown_from: When the old picture was first seen, if it was not the video's first.
        old_last_seen_at: When the old picture was last seen; it was swapped after this …
        changed_at: … and before this, when the new one was first seen.
        shown_until: When the new picture was last seen, if another one followed.
    """

    video_id: str
    old_sha256: str
    new_sha256: str
    shown_from: datetime | None
    old_last_seen_at: datetime
    changed_at: datetime
    shown_until: datetime | None


@dataclass(frozen=True)
class KnownVideo:
    """A video, as far as it matters for who is like whom.

    Attributes:
        video_id: Its id.
        channel_id: Its channel's.
        began_at: When its views began to count.
        format: None where it is not known.
        subscribers: Of the channel, as read last; None where hidden.
        views_per_day: Over its life, as counted last; None where never.
    """

    video_id: str
    channel_id: str
    began_at: datetime
    format: str | None
    subscribers: int | None
    views_per_day: float | None


@dataclass(frozen=True)
class Window:
    """Which counts of a video are asked for."""

    video_id: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Count:
    """A video's views at one moment."""

    captured_at: datetime
    view_count: int
    view_definition: str | None


def changes(session: Session, *, as_of: datetime, most: int) -> list[Change]:
    """Return the swaps of ``thumbnail_changes`` known at ``as_of``, the newest ``most``, by time.

    Swaps of streams and of videos that are gone are among them.
    """
    rows = session.execute(
        text(
            """
            SELECT * FROM (
                SELECT new.video_id, old.thumbnail_sha256, new.thumbnail_sha256,
                       CASE WHEN old.version > 1 THEN old.first_seen_at END AS shown_from,
                       old.last_seen_at, new.first_seen_at AS changed_at,
                       CASE WHEN NOT new.is_current THEN new.last_seen_at END AS shown_until
                FROM video_thumbnails new
                JOIN video_thumbnails old
                  ON old.video_id = new.video_id AND old.version = new.version - 1
                WHERE new.version > 1 AND new.first_seen_at <= :as_of
                ORDER BY new.first_seen_at DESC, new.video_id LIMIT :most
            ) newest ORDER BY changed_at, video_id
            """
        ),
        {"as_of": as_of, "most": most},
    )
    return [Change(*row) for row in rows]


def videos(session: Session) -> Iterator[list[KnownVideo]]:
    """Yield pages of every video that is no running or coming stream, by id."""
    statement = text(
        """
        SELECT v.video_id, v.channel_id, coalesce(v.actual_start_at, v.published_at), v.format,
               c.subscriber_count,
               n.view_count / nullif(greatest(extract(epoch FROM n.captured_at
                   - coalesce(v.actual_start_at, v.published_at)), 0), 0)::float8 * 86400
        FROM videos v
        LEFT JOIN LATERAL (
            SELECT s.subscriber_count FROM channel_snapshots s
            WHERE s.channel_id = v.channel_id ORDER BY s.slot DESC LIMIT 1
        ) c ON true
        LEFT JOIN newest_counts n ON n.video_id = v.video_id
        WHERE v.live_broadcast_content = 'none'
        ORDER BY v.video_id
        """
    )
    for page in streaming.pages(session, statement, size=PAGE):
        yield [KnownVideo(*row) for row in page]


def pictures_between(session: Session) -> dict[str, list[tuple[datetime, datetime]]]:
    """Return, of each video with several pictures, between which moments each one was swapped."""
    rows = session.execute(
        text(
            """
            SELECT new.video_id, old.last_seen_at, new.first_seen_at
            FROM video_thumbnails new
            JOIN video_thumbnails old
              ON old.video_id = new.video_id AND old.version = new.version - 1
            WHERE new.version > 1
            """
        )
    )
    found: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for video_id, since, until in rows:
        found[video_id].append((since, until))
    return found


def counts(session: Session, windows: Sequence[Window]) -> list[list[Count]]:
    """Return the counts in each window, in the order of time."""
    rows = session.execute(
        text(
            """
            SELECT w.number, s.captured_at, s.view_count, s.view_definition
            FROM unnest(CAST(:videos AS text[]), CAST(:since AS timestamptz[]),
                        CAST(:until AS timestamptz[]))
                WITH ORDINALITY AS w (video_id, since, until, number)
            JOIN LATERAL (
                SELECT s.captured_at, s.view_count, s.view_definition FROM video_snapshots s
                WHERE s.video_id = w.video_id AND s.view_count IS NOT NULL
                  AND s.slot BETWEEN w.since AND w.until
            ) s ON true
            ORDER BY w.number, s.captured_at
            """
        ),
        {
            "videos": [window.video_id for window in windows],
            "since": [window.since for window in windows],
            "until": [window.until for window in windows],
        },
    )
    found: list[list[Count]] = [[] for _ in windows]
    for number, *values in rows:
        found[number - 1].append(Count(*values))
    return found


def score_changes(
    session: Session, swaps: Sequence[Change], *, rungs: Sequence[str]
) -> dict[tuple[str, str, str], float]:
    """Return what a model predicts with the new picture less with the old, in log10 views a day.

    Both come from one model version: of those that scored both the champion, else the newest.

    Args:
        session: The unit of work.
        swaps: Of which pictures.
        rungs: Rungs that look at pictures.

    Returns:
        By video, old and new picture; what no model scored both of is missing.
    """
    rows = session.execute(
        text(
            """
            SELECT DISTINCT ON (w.video_id, w.old, w.new)
                   w.video_id, w.old, w.new, after.log10_views_per_day - before.log10_views_per_day
            FROM unnest(CAST(:videos AS text[]), CAST(:old AS text[]), CAST(:new AS text[]))
                AS w (video_id, old, new)
            JOIN scores before ON before.video_id = w.video_id AND before.thumbnail_sha256 = w.old
            JOIN scores after ON after.video_id = w.video_id AND after.thumbnail_sha256 = w.new
                AND after.model_version_id = before.model_version_id
            JOIN model_versions m ON m.model_version_id = before.model_version_id
            LEFT JOIN model_aliases a
                ON a.model_version_id = m.model_version_id AND a.alias = 'champion'
            WHERE m.task = 'thumbnails' AND m.rung = ANY(:rungs)
            ORDER BY w.video_id, w.old, w.new, a.alias IS NULL,
                     array_position(CAST(:rungs AS text[]), m.rung), m.trained_at DESC
            """
        ),
        {
            "videos": [swap.video_id for swap in swaps],
            "old": [swap.old_sha256 for swap in swaps],
            "new": [swap.new_sha256 for swap in swaps],
            "rungs": list(rungs),
        },
    )
    return {(video, old, new): float(change) for video, old, new, change in rows}
