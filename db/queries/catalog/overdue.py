"""What is overdue by channel and day: counted again, and kept for when it is very much."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from db.models import Channel, OverdueCounting


def is_more(session: Session, than: int, *, now: datetime) -> bool:
    """Tell whether more than so many items would have to be looked at to count what is overdue."""
    found: bool = session.execute(
        text("SELECT is_more_overdue(:now, :than)"), {"now": now, "than": than}
    ).scalar_one()
    return found


def count_all(session: Session, *, now: datetime, most: int) -> int:
    """Count what is overdue of all channels, all at once: where it is little.

    Returns:
        How many rows were let go of, of things that are not overdue any more; ``most`` at once, so
        that there are more where it is so many.
    """
    # It is little, whatever the planner knows of it: never by reading all items.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    statement = _COUNT.format(
        slots="overdue_slots(:now)",
        gone=f"{_IS_OVER} LIMIT :most",
    )
    return int(session.execute(text(statement), {"now": now, "most": most}).scalar_one())


def count_of(session: Session, channel_ids: Sequence[str], *, now: datetime) -> int:
    """Count what is overdue of some channels; return how many rows were let go of."""
    statement = _COUNT.format(
        slots="overdue_slots_of(:channels, :now)",
        gone=f"k.channel_id = ANY(:channels) AND {_IS_OVER}",
    )
    values = {"now": now, "channels": list(channel_ids)}
    return int(session.execute(text(statement), values).scalar_one())


def next_channels(session: Session, after: str, n: int) -> list[str]:
    """Return the next channels by their ids."""
    following = select(Channel.channel_id).where(Channel.channel_id > after)
    return list(session.scalars(following.order_by(Channel.channel_id).limit(n)))


def note_counted(session: Session, *, at: datetime) -> None:
    """Note that everything was counted, ``at`` this moment or later."""
    session.execute(update(OverdueCounting).values(counted_at=at))


def counted_at(session: Session, *, now: datetime) -> datetime | None:
    """Return up to when what is overdue is counted: now where it is little; None: not yet."""
    found: datetime | None = session.execute(
        text("SELECT overdue_counted_at(:now)"), {"now": now}
    ).scalar_one()
    return found


def take_turn(session: Session) -> bool:
    """Tell whether nobody else counts what is overdue, until this transaction ends."""
    statement = "SELECT pg_try_advisory_xact_lock(hashtext('overdue_counts'))"
    taken: bool = session.execute(text(statement)).scalar_one()
    return taken


_IS_OVER = """
    NOT EXISTS (
        SELECT FROM counted c WHERE c.channel_id = k.channel_id AND c.day = k.day
            AND c.kind = k.kind AND c.reason = k.reason
    )
"""
# Only what differs is written: of past days that is little, however long nothing is collected.
_COUNT = """
    WITH of_entities AS (
        SELECT s.channel_id, (s.slot AT TIME ZONE 'UTC')::date AS day, s.kind, s.reason,
            s.entity_id, count(*) AS n_slots
        FROM {slots} s
        GROUP BY 1, 2, 3, 4, 5
    ), counted AS MATERIALIZED (
        SELECT o.channel_id, o.day, o.kind, o.reason, sum(o.n_slots)::bigint AS n_slots,
            -- Of whom a slot of the day was missed for the same reason, is counted with that one.
            count(*) FILTER (WHERE NOT EXISTS (
                SELECT FROM missed_slots m
                CROSS JOIN LATERAL unnest(ARRAY(SELECT generate_series(
                    m.first_slot, m.last_slot, make_interval(secs => m.interval_s)
                ))) AS s (slot)
                WHERE m.kind = o.kind AND m.entity_id = o.entity_id
                  AND m.channel_id = o.channel_id AND m.reason = o.reason
                  AND (s.slot AT TIME ZONE 'UTC')::date = o.day
            )) AS n_entities
        FROM of_entities o
        GROUP BY 1, 2, 3, 4
    ), going AS MATERIALIZED (
        SELECT k.channel_id, k.day, k.kind, k.reason FROM overdue_counts k WHERE {gone}
    ), other AS MATERIALIZED (
        SELECT o.* FROM counted o
        LEFT JOIN overdue_counts k USING (channel_id, day, kind, reason)
        WHERE (k.n_slots, k.n_entities) IS DISTINCT FROM (o.n_slots, o.n_entities)
    ), held AS MATERIALIZED (
        -- Of a channel that is just being forgotten nothing: its rows go with it, and neither who
        -- forgets nor who counts has what the other waits for.
        SELECT c.channel_id FROM channels c
        WHERE c.channel_id IN (
            SELECT channel_id FROM going UNION ALL SELECT channel_id FROM other
        )
        FOR KEY SHARE SKIP LOCKED
    ), gone AS (
        DELETE FROM overdue_counts k USING going g, held h
        WHERE k.channel_id = h.channel_id AND g.channel_id = h.channel_id
          AND (k.day, k.kind, k.reason) = (g.day, g.kind, g.reason)
        RETURNING 1
    ), changed AS (
        INSERT INTO overdue_counts AS k (channel_id, day, kind, reason, n_slots, n_entities)
        SELECT o.* FROM other o JOIN held h USING (channel_id)
        ON CONFLICT (channel_id, day, kind, reason)
        DO UPDATE SET n_slots = excluded.n_slots, n_entities = excluded.n_entities
    )
    SELECT count(*) FROM gone
"""
