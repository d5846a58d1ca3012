"""Daily counts: batches are added up, several rows of one key become one, days are let go of."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog import kept_swaps
from db.queries.catalog.turns import take_turn


def add_up(session: Session, *, batches: int) -> int:
    """Add up the oldest batches of snapshots by channel and day; return how many there were.

    Whatever was kept of swaps and follows from them is stale from then on.
    """
    if session.execute(text("SELECT NOT EXISTS (SELECT FROM counted_batches)")).scalar_one():
        return 0
    take_turn(session)
    # By the keys of each, whatever the planner makes of how many there are: OFFSET 0.
    statement = text(
        f"""
        WITH taken AS (
            DELETE FROM counted_batches WHERE counted_batch_id IN (
                SELECT counted_batch_id FROM counted_batches
                ORDER BY counted_batch_id LIMIT :batches
            ) RETURNING day, is_late, sign, first_captured_at, video_ids
        ), counted AS MATERIALIZED (
            SELECT v.channel_id, one.video_id, t.day, t.is_late, t.sign,
                coalesce(t.first_captured_at, '-infinity') AS captured_at
            FROM taken t
            CROSS JOIN LATERAL unnest(t.video_ids) AS one (video_id)
            CROSS JOIN LATERAL (
                SELECT channel_id FROM videos WHERE video_id = one.video_id OFFSET 0
            ) v
        ), more AS (
            SELECT channel_id, day, sum(sign) AS n_slots,
                coalesce(sum(sign) FILTER (WHERE is_late), 0) AS n_late
            FROM counted GROUP BY 1, 2
        ), changed AS (
            SELECT channel_id, min(captured_at) FILTER (WHERE sign > 0) AS added_at,
                array_agg(video_id) FILTER (WHERE sign > 0) AS added,
                max(day) FILTER (WHERE sign < 0) AS removed
            FROM counted GROUP BY 1
        ), {kept_swaps.STALE}, before AS (
            DELETE FROM daily_counts WHERE daily_count_id = ANY (ARRAY(
                SELECT d.daily_count_id FROM more m CROSS JOIN LATERAL (
                    SELECT daily_count_id FROM daily_counts
                    WHERE day = m.day AND channel_id = m.channel_id
                      AND kind = 'video.snapshot' AND reason = '' OFFSET 0
                ) d
            )) RETURNING channel_id, day, n_slots, n_late
        ), added AS (
            INSERT INTO daily_counts
                (channel_id, day, kind, reason, n_slots, n_late, n_entities)
            SELECT channel_id, day, 'video.snapshot', '', sum(n_slots), sum(n_late), 0
            FROM (SELECT * FROM before UNION ALL SELECT * FROM more) f
            GROUP BY 1, 2 HAVING sum(n_slots) <> 0
        )
        SELECT count(*) FROM taken
        """
    )
    return int(session.execute(statement, {"batches": batches}).scalar_one())


def merge(session: Session, *, keys: int) -> int:
    """Make one row of several with the same key, of so many keys; return of how many it did."""
    take_turn(session)
    statement = text(
        """
        WITH several AS (
            SELECT channel_id, day, kind, reason FROM daily_counts
            GROUP BY 1, 2, 3, 4 HAVING count(*) > 1 OR sum(n_slots) = 0 LIMIT :keys
        ), before AS (
            DELETE FROM daily_counts d USING several s
            WHERE d.day = s.day AND d.channel_id = s.channel_id
              AND d.kind = s.kind AND d.reason = s.reason
            RETURNING d.*
        ), merged AS (
            INSERT INTO daily_counts
                (channel_id, day, kind, reason, n_slots, n_late, n_entities)
            SELECT channel_id, day, kind, reason, sum(n_slots), sum(n_late), sum(n_entities)
            FROM before GROUP BY 1, 2, 3, 4 HAVING sum(n_slots) <> 0
        )
        SELECT count(*) FROM several
        """
    )
    return int(session.execute(statement, {"keys": keys}).scalar_one())


def forget(session: Session, *, low: datetime, high: datetime) -> None:
    """Forget how many snapshots of videos fell due on the days of a partition that is dropped."""
    take_turn(session)
    days = {"low": low.date(), "high": high.date()}
    for statement in (
        "DELETE FROM counted_batches WHERE day >= :low AND day < :high",
        """
        DELETE FROM daily_counts
        WHERE day >= :low AND day < :high AND kind = 'video.snapshot' AND reason = ''
        """,
    ):
        session.execute(text(statement), days)
    kept_swaps.forget(session, before=high)


def of_channels(
    session: Session, channel_ids: Sequence[str], *, since: date, now: datetime
) -> list[dict[str, Any]]:
    """Return what fell due on whole UTC days of some channels, with what is overdue now.

    Args:
        session: The unit of work.
        channel_ids: Of these.
        since: The first day.
        now: The present moment.

    Returns:
        Slots by channel, day, kind and reason (empty: collected), the newest day of each first.
    """
    rows = session.execute(
        text(_OF_CHANNELS), {"ids": list(channel_ids), "since": since, "now": now}
    ).mappings()
    return [dict(row) for row in rows]


_OF_CHANNELS = """
    SELECT f.channel_id, c.title AS channel_title, c.handle, f.day, f.kind, f.reason,
        sum(f.n_slots)::bigint AS n, sum(f.n_late)::bigint AS late
    FROM (
        SELECT d.* FROM unnest(CAST(:ids AS text[])) AS one (channel_id)
        CROSS JOIN LATERAL (
            SELECT channel_id, day, kind, reason, n_slots, n_late FROM daily_counts
            WHERE channel_id = one.channel_id AND day >= :since
            OFFSET 0  -- channel by channel
        ) d
        UNION ALL
        SELECT v.channel_id, b.day, 'video.snapshot', '', b.sign,
            CASE WHEN b.is_late THEN b.sign ELSE 0 END
        FROM counted_batches b
        CROSS JOIN LATERAL unnest(b.video_ids) AS one (video_id)
        CROSS JOIN LATERAL (
            SELECT channel_id FROM videos WHERE video_id = one.video_id OFFSET 0
        ) v
        WHERE b.day >= :since AND v.channel_id = ANY(:ids)
        UNION ALL
        SELECT s.channel_id, (s.slot AT TIME ZONE 'UTC')::date, s.kind, s.reason, 1, 0
        FROM overdue_slots(:now) s
        WHERE s.slot >= CAST(:since AS timestamp) AT TIME ZONE 'UTC' AND s.channel_id = ANY(:ids)
    ) f
    JOIN channels c USING (channel_id)
    WHERE f.kind <> 'channel.discover' AND (f.reason = '' OR c.watched)
    GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(f.n_slots) <> 0
    ORDER BY f.channel_id, f.day DESC, f.kind, f.reason
"""
