"""What fell due and was not collected: noted when work goes on after a gap, and asked for."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
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


def not_listed(session: Session, *, now: datetime, channel_id: str | None) -> dict[str, int]:
    """Count the channels whose uploads should have been read and were not, by reason."""
    rows = session.execute(
        text(
            """
            SELECT reason, count(DISTINCT channel_id)
            FROM slots_not_collected(:now)
            WHERE kind = 'channel.discover'
              AND (CAST(:channel AS text) IS NULL OR channel_id = :channel)
              AND entity_id IN (
                SELECT entity_id FROM work_items WHERE kind = 'channel.discover' AND slot <= :now
              )
            GROUP BY reason
            """
        ),
        {"now": now, "channel": channel_id},
    )
    return dict(rows.all())
