"""What is due within a time, counted: the ground of a plan of the quota."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog.paused import PAUSED_CHANNELS, is_paused


@dataclass(frozen=True)
class DueVideos:
    """Videos whose counters are due in the same hour and that are of the same kind and age.

    Attributes:
        due_at: The hour; what is overdue is due now.
        began_at: The hour of publication, or of a stream's start.
        format: If it is known.
        in_full: Whether the call that reads everything is needed, once.
        live: Whether that is needed each time: a stream that is not over.
        count: How many.
    """

    due_at: datetime
    began_at: datetime
    format: str | None
    in_full: bool
    live: bool
    count: int


@dataclass(frozen=True)
class DueChannels:
    """Channels whose counters or uploads are due in the same hour.

    Attributes:
        kind: The kind of work.
        due_at: The hour; what is overdue is due now.
        count: How many.
        first_pages: Pages of the uploads of those that were never looked through.
        known: How many were looked through before.
        whole_pages: Pages after the first of those that are due to be looked through to the end.
    """

    kind: str
    due_at: datetime
    count: int
    first_pages: int
    known: int
    whole_pages: int


@dataclass(frozen=True)
class Watched:
    """How much is watched: channels, videos, and videos published in the last 30 days."""

    channels: int
    videos: int
    uploads_30_days: int


_DUE = "greatest(date_trunc('hour', w.slot), :now)"
_WITHIN = f"""
    w.state IN ('due', 'leased') AND w.slot < :end
    AND w.channel_id NOT IN {PAUSED_CHANNELS}
"""


def due_videos(session: Session, *, now: datetime, end: datetime) -> Sequence[DueVideos]:
    """Count the videos whose counters are due before ``end``; one row an hour, kind and age."""
    rows = session.execute(
        text(
            f"""
            SELECT {_DUE}, date_trunc('hour', coalesce(v.actual_start_at, v.published_at)),
                v.format, v.refreshed_at IS NULL,
                coalesce(v.live_broadcast_content, 'none') <> 'none', count(*)
            FROM work_items w JOIN videos v ON v.video_id = w.entity_id
            WHERE w.kind = 'video.snapshot' AND {_WITHIN}
            GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
            """
        ),
        {"now": now, "end": end},
    )
    return [DueVideos(*row) for row in rows]


def due_channels(
    session: Session, *, now: datetime, end: datetime, whole_every: timedelta
) -> Sequence[DueChannels]:
    """Count the channels that are due before ``end``; one row an hour and kind of work.

    Args:
        session: The unit of work.
        now: The present moment.
        end: Of the time that is planned.
        whole_every: How often a channel's uploads are looked through to the end.
    """
    rows = session.execute(
        text(
            f"""
            SELECT w.kind, {_DUE}, count(*),
                coalesce(sum(pages.n) FILTER (WHERE w.done_at IS NULL), 0)::bigint,
                count(w.done_at),
                coalesce(sum(pages.n - 1) FILTER (
                    WHERE w.done_at IS NOT NULL
                      AND coalesce(k.walked_at, '-infinity') + :whole <= greatest(w.slot, :now)
                ), 0)::bigint
            FROM work_items w
            JOIN channels k ON k.channel_id = w.channel_id
            LEFT JOIN LATERAL (
                SELECT greatest(ceil(s.video_count / 50.0), 1) AS n FROM channel_snapshots s
                WHERE s.channel_id = w.channel_id ORDER BY s.slot DESC LIMIT 1
            ) pages ON true
            WHERE w.kind IN ('channel.snapshot', 'channel.discover') AND {_WITHIN}
            GROUP BY 1, 2 ORDER BY 1, 2
            """
        ),
        {"now": now, "end": end, "whole": whole_every},
    )
    return [DueChannels(*row) for row in rows]


def watched(session: Session, *, now: datetime) -> Watched:
    """Count what is watched and not paused."""
    row = session.execute(
        text(
            f"""
            SELECT (SELECT count(*) FROM channels
                    WHERE watched AND state IN ('active', 'empty') AND NOT {is_paused()}),
                count(*) FILTER (WHERE state = 'public'),
                count(*) FILTER (
                    WHERE published_at > CAST(:now AS timestamptz) - interval '30 days'
                )
            FROM videos
            WHERE channel_id NOT IN {PAUSED_CHANNELS}
              AND channel_id NOT IN (SELECT channel_id FROM channels WHERE NOT watched)
            """
        ),
        {"now": now},
    ).one()
    return Watched(*row)
