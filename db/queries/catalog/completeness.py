"""What fell due and was not collected: noted when work goes on after a gap, and asked for."""

import uuid
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog.paused import is_paused


def note_missed(
    session: Session,
    token: uuid.UUID,
    intervals: Mapping[str, timedelta],
    *,
    captured_at: Mapping[str, datetime],
    now: datetime,
) -> int:
    """Note the slots that a lease's items missed: those after their slot, when it was collected.

    Called when the items are about to go on. Reads once a batch, and writes only where something
    was missed. The reason is the item's last failure; else a pause of its channel or of
    the queue, or a quota that ended since; else nobody worked on it.

    Args:
        session: The unit of work.
        token: The lease.
        intervals: From one slot to the next, by entity.
        captured_at: When the slot was collected, for each of them.
        now: The present moment.

    Returns:
        How many items had missed any.
    """
    return len(
        session.execute(
            text(
                f"""
                {_INSERT}
                SELECT w.kind, w.entity_id, w.slot + n.step, w.channel_id,
                    w.slot + n.step * floor(
                        extract(epoch FROM n.at - w.slot) / extract(epoch FROM n.step)
                    ),
                    extract(epoch FROM n.step), {_REASON}, :now
                FROM work_items w
                JOIN channels c USING (channel_id)
                JOIN (
                    SELECT entity_id, make_interval(secs => s) AS step, at
                    FROM unnest(
                        CAST(:entities AS text[]),
                        CAST(:seconds AS bigint[]),
                        CAST(:captured_at AS timestamptz[])
                    ) AS given (entity_id, s, at)
                ) n USING (entity_id)
                WHERE w.lease_token = :token AND w.slot + n.step <= n.at
                ON CONFLICT DO NOTHING
                RETURNING entity_id
                """
            ),
            {
                "token": token,
                "now": now,
                "entities": list(intervals),
                "seconds": [int(step.total_seconds()) for step in intervals.values()],
                "captured_at": [captured_at[entity_id] for entity_id in intervals],
            },
        ).all()
    )


def note_given_up(
    session: Session,
    *,
    kinds: Collection[str],
    channel_ids: Collection[str] | None,
    now: datetime,
) -> int:
    """Note the slots of failed items, which are about to begin anew with another slot.

    Args:
        session: The unit of work.
        kinds: Kinds of work that collect a series; of versions nothing is missing between two.
        channel_ids: Only these channels' items; None for all.
        now: The present moment.

    Returns:
        How many items had missed any.
    """
    return len(
        session.execute(
            text(
                f"""
                {_INSERT}
                SELECT w.kind, w.entity_id, w.slot, w.channel_id,
                    w.slot + make_interval(secs => n.step) * floor(
                        extract(epoch FROM :now - w.slot) / n.step
                    ),
                    n.step, {_REASON}, :now
                FROM work_items w
                JOIN channels c USING (channel_id)
                CROSS JOIN LATERAL (SELECT coalesce(w.interval_s, 1000000000) AS step) n
                WHERE w.state = 'failed' AND w.kind = ANY(:kinds) AND w.slot < :now
                  AND (CAST(:channels AS text[]) IS NULL OR w.channel_id = ANY(:channels))
                ON CONFLICT DO NOTHING
                RETURNING entity_id
                """
            ),
            {
                "kinds": list(kinds),
                "channels": None if channel_ids is None else list(channel_ids),
                "now": now,
            },
        ).all()
    )


_INSERT = """
    INSERT INTO missed_slots
        (kind, entity_id, first_slot, channel_id, last_slot, interval_s, reason, noted_at)
"""
_REASON = f"""
    CASE
        WHEN w.state <> 'failed' AND w.doubted_at IS NOT NULL THEN 'inDoubt'
        WHEN w.error_reason IS NOT NULL THEN w.error_reason
        WHEN {is_paused("c")} OR c.resumed_at > w.slot THEN 'paused'
        WHEN EXISTS (
            SELECT FROM ended_pauses p
            WHERE p.scope IN ('everything', 'crawl')
              AND p.lifted_at > w.slot AND p.lifted_at <= :now
        ) THEN 'paused'
        WHEN EXISTS (
            SELECT FROM quota_usage q WHERE q.exhausted_at BETWEEN w.slot AND :now
        ) THEN 'quotaExceeded'
        ELSE 'overdue'
    END
"""


def by_day(
    session: Session, *, since: datetime, now: datetime, channel_id: str | None
) -> list[dict[str, Any]]:
    """Return expected and collected snapshots per channel, UTC day and kind, newest day first."""
    # A million videos are looked up while their snapshots are counted: in memory, not on disk.
    session.execute(text("SET LOCAL work_mem = '64MB'"))
    rows = session.execute(
        text(
            """
            SELECT f.channel_id, c.title AS channel_title, c.handle, f.day, f.kind, f.expected,
                f.collected, f.late, f.missing, f.reasons
            FROM completeness_since(:since, :now, :channel) f
            JOIN channels c USING (channel_id)
            ORDER BY f.day DESC, c.title, f.channel_id, f.kind
            """
        ),
        {"since": since, "now": now, "channel": channel_id},
    ).mappings()
    return [dict(row) for row in rows]


def of_worst(
    session: Session, *, since: date, now: datetime, channel_id: str | None, most: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """Add up whole UTC days by channel, of which the worst come back, and of all together.

    Reads what is added up already (``daily_counts``), and what is overdue.

    Args:
        session: The unit of work.
        since: The first day.
        now: The present moment.
        channel_id: Only this channel.
        most: Channels whose days come back: those that miss most.

    Returns:
        Slots of the worst channels, by channel, day, kind and reason (empty: collected); those of
        all channels together, likewise; and how many channels are watched.
    """
    session.execute(text("SET LOCAL work_mem = '64MB'"))
    rows = session.execute(
        text(_OF_WORST), {"since": since, "now": now, "channel": channel_id, "most": most}
    ).mappings()
    of_channels, together, channels = [], [], 0
    for row in rows:
        if row["channel_id"] is None:
            together.append(dict(row))
            channels = row["n_channels"]
        else:
            of_channels.append(dict(row))
    return of_channels, together, channels


_ADDED_UP = """
        SELECT f.day, f.kind, f.reason, sum(f.n_slots) AS n, sum(f.n_late) AS late
        FROM {counted} f
        WHERE f.day >= :since AND f.kind <> 'channel.discover'
          AND (CAST(:channel AS text) IS NULL OR f.channel_id = :channel)
          AND (f.reason = '' OR f.channel_id NOT IN (
            SELECT c.channel_id FROM channels c WHERE NOT c.watched
          ))
        GROUP BY f.day, f.kind, f.reason
"""
# Of the channels that miss nothing, which are most as a rule, only those shown are looked at.
_OF_WORST = f"""
    WITH moving AS MATERIALIZED (
        -- No numeric, which each row that it is put together with would be made.
        SELECT v.channel_id, b.day, 'video.snapshot' AS kind, '' AS reason,
            sum(b.sign)::bigint AS n_slots,
            sum(CASE WHEN b.is_late THEN b.sign ELSE 0 END)::bigint AS n_late
        FROM counted_batches b
        CROSS JOIN LATERAL unnest(b.video_ids) AS one (video_id)
        CROSS JOIN LATERAL (
            SELECT v.channel_id FROM videos v WHERE v.video_id = one.video_id OFFSET 0
        ) v
        WHERE b.day >= :since
        GROUP BY 1, 2
        UNION ALL
        SELECT o.channel_id, o.day, o.kind, o.reason, o.n_slots, 0
        FROM little_overdue(:now) o WHERE o.day >= :since
    ), overdue AS NOT MATERIALIZED (
        SELECT channel_id, day, kind, reason, n_slots, 0 AS n_late FROM overdue_counts
        WHERE (SELECT is_more_overdue(:now, 5000))
    ), counted AS NOT MATERIALIZED (
        SELECT channel_id, day, kind, reason, n_slots, n_late FROM daily_counts
        UNION ALL
        SELECT * FROM overdue
        UNION ALL
        SELECT * FROM moving
    ), wanted AS NOT MATERIALIZED (
        SELECT channel_id, title AS channel_title, handle, watched, coalesce(title, '') AS name
        FROM channels WHERE CAST(:channel AS text) IS NULL OR channel_id = :channel
    ), missing AS (
        SELECT w.channel_id, sum(f.n_slots) AS n, w.name
        FROM counted f JOIN wanted w USING (channel_id)
        WHERE f.reason <> '' AND f.day >= :since AND f.kind <> 'channel.discover' AND w.watched
        GROUP BY w.channel_id, w.name HAVING sum(f.n_slots) > 0
        ORDER BY n DESC, w.name, w.channel_id LIMIT :most
    ), shown AS MATERIALIZED (
        SELECT channel_id, max(n) AS n, name FROM (
            SELECT * FROM missing
            UNION ALL
            (
                SELECT w.channel_id, 0, w.name FROM wanted w
                WHERE EXISTS (
                    SELECT FROM daily_counts f WHERE f.channel_id = w.channel_id
                        AND f.day >= :since AND f.kind <> 'channel.discover'
                    OFFSET 0  -- channel by channel
                ) OR w.channel_id IN (
                    SELECT channel_id FROM moving WHERE kind <> 'channel.discover'
                ) OR EXISTS (
                    SELECT FROM overdue f WHERE f.channel_id = w.channel_id
                        AND f.day >= :since AND f.kind <> 'channel.discover'
                    OFFSET 0
                )
                ORDER BY w.name, w.channel_id LIMIT :most
            )
        ) s
        GROUP BY channel_id, name ORDER BY 2 DESC, name, channel_id LIMIT :most
    )
    SELECT w.channel_id, w.channel_title, w.handle, f.day, f.kind, f.reason,
        sum(f.n_slots)::bigint AS n, sum(f.n_late)::bigint AS late, NULL::bigint AS n_channels
    FROM (
        SELECT s.channel_id, d.* FROM shown s
        CROSS JOIN LATERAL (
            SELECT d.day, d.kind, d.reason, d.n_slots, d.n_late FROM daily_counts d
            WHERE d.channel_id = s.channel_id AND d.day >= :since
            OFFSET 0  -- channel by channel
        ) d
        UNION ALL
        SELECT s.channel_id, o.* FROM shown s
        CROSS JOIN LATERAL (
            SELECT o.day, o.kind, o.reason, o.n_slots, o.n_late FROM overdue o
            WHERE o.channel_id = s.channel_id AND o.day >= :since
            OFFSET 0
        ) o
        UNION ALL
        SELECT m.* FROM moving m WHERE m.channel_id IN (SELECT channel_id FROM shown)
    ) f
    JOIN wanted w USING (channel_id)
    WHERE f.kind <> 'channel.discover' AND (f.reason = '' OR w.watched)
    GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(f.n_slots) <> 0
    UNION ALL
    SELECT NULL, NULL, NULL, t.day, t.kind, t.reason, sum(t.n)::bigint, sum(t.late)::bigint,
        (SELECT count(*) FROM wanted WHERE watched)
    FROM (
        {_ADDED_UP.format(counted="daily_counts")}
        UNION ALL
        {_ADDED_UP.format(counted="overdue")}
        UNION ALL
        {_ADDED_UP.format(counted="moving")}
    ) t
    GROUP BY t.day, t.kind, t.reason HAVING sum(t.n) <> 0
"""


def of_day(session: Session, day: date, *, now: datetime) -> dict[str, tuple[int, int]]:
    """Add up a UTC day's snapshots of all channels, from what is added up by channel already.

    Returns:
        By why they were missed (empty: they were collected), how many, and how many of them late.
    """
    rows = session.execute(
        text(
            """
            SELECT f.reason, sum(f.n_slots)::bigint, sum(f.n_late)::bigint
            FROM (
                SELECT channel_id, kind, reason, n_slots, n_late FROM daily_counts WHERE day = :day
                UNION ALL
                SELECT v.channel_id, 'video.snapshot', '', b.sign,
                    CASE WHEN b.is_late THEN b.sign ELSE 0 END
                FROM counted_batches b
                CROSS JOIN LATERAL unnest(b.video_ids) AS one (video_id)
                CROSS JOIN LATERAL (
                    SELECT channel_id FROM videos WHERE video_id = one.video_id OFFSET 0
                ) v
                WHERE b.day = :day
                UNION ALL
                SELECT o.channel_id, o.kind, o.reason, o.n_slots, 0 FROM overdue_by_day(:now) o
                WHERE o.day = :day
            ) f
            WHERE f.kind <> 'channel.discover' AND (f.reason = '' OR f.channel_id NOT IN (
                SELECT c.channel_id FROM channels c WHERE NOT c.watched
            ))
            GROUP BY f.reason HAVING sum(f.n_slots) <> 0
            """
        ),
        {"day": day, "now": now},
    )
    return {reason: (n, late) for reason, n, late in rows}


def not_listed(session: Session, *, now: datetime, channel_id: str | None) -> dict[str, int]:
    """Count the channels whose uploads should have been read and were not, by reason."""
    rows = session.execute(
        text(
            """
            SELECT reason, count(DISTINCT channel_id)
            FROM overdue_by_day(:now)
            WHERE kind = 'channel.discover'
              AND (CAST(:channel AS text) IS NULL OR channel_id = :channel)
            GROUP BY reason
            """
        ),
        {"now": now, "channel": channel_id},
    )
    return dict(rows.all())
